-- A photo's work that is to be done by others, committed together with the photo: so there is never one without the other. The relay publishes it, and
-- writes before that under which number of its own; the row stays until the last result is in.
create table outbox (
    photo_id       bigint not null references photos on delete cascade,
    version        int not null,
    created_at     timestamptz not null default now(),
    producer_epoch int,     -- of the relay's incarnation that has claimed it, and the number of the batch
    batch          bigint,  -- that it has made of it; null: nobody has
    published_at   timestamptz,
    primary key (photo_id, version)
);
create index outbox_unclaimed on outbox (photo_id, version) where batch is null;

-- The relay's incarnation that may claim. The broker knows it, too; here an earlier one that lives on learns that it is over.
create table outbox_producer (
    name  text primary key,
    epoch int not null
);

alter table photos
    add version int not null default 1,
    add stored_bytes bigint not null default 0,  -- of its files: grows with each size that is there, once
    add fault text;                              -- why it has no sizes

-- This is the inbox of the workers' results: a result may come twice, and its key makes that its effect is there once.
alter table renditions
    add version int not null default 1,
    add bytes bigint not null default 0,
    drop constraint renditions_pkey,
    add primary key (photo_id, version, file);
