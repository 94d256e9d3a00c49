-- Users are divided into 256 buckets by their number, and a bucket is in one shard, with all that is its users'. The number of a photo ends with its owner's
-- bucket, so that it says by itself where it is.

-- In each shard: what it has. Whoever writes something of a bucket locks its row here, and says which version of it he knows; so a bucket leaves when nobody
-- writes, and who comes too late is refused.
create table own_buckets (
    bucket  smallint primary key check (bucket between 0 and 255),
    version bigint not null,  -- counts its moves
    state   text not null check (state in ('arriving', 'owned', 'leaving'))
);

-- The directory: in the first shard, and empty in all others.
create table shards (
    name     text primary key,
    address  text not null,  -- what a connection string has instead of the directory's own: 'port=5010'
    replicas text not null
);
create table shard_map (
    bucket      smallint primary key check (bucket between 0 and 255),
    shard       text not null references shards,
    version     bigint not null,
    moving_from text references shards,  -- a move that has begun, and not ended: stack_tool/bucket_move.py
    moving_to   text references shards
);

-- Names are unique in all shards. A name here is no account yet: that is the row of its number in `users`, in whichever shard. So a sign-up that ends between
-- the two leaves nothing behind that must be mended: the next one of that name gets the number, and makes the account.
create sequence user_numbers;
create table names (
    name    text primary key check (name ~ '^[a-z0-9_]{3,30}$'),
    user_id bigint not null unique default nextval('user_numbers')
);
insert into names (name, user_id) select name, id from users;
select setval('user_numbers', max(id)) from users having count(*) > 0;

-- Of each shard's own; a bucket that arrives brings with it how far it was where it comes from.
create sequence photo_numbers;

alter table users alter id drop identity;
alter table photos
    alter id drop identity,
    add check (id % 256 = user_id % 256);
create index photos_by_age on photos (created_at desc, id desc);  -- the newest ones of all: numbers of different shards say nothing about that

-- How far the logs of several shards were, each with its shard's name.
alter table sessions alter written type text;
