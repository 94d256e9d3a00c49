-- A write that was answered, by the key that its client gave it: the same key again gets the same answer, and nothing is done twice.
-- It is committed with what the write did, so there is never one without the other.
create table idempotency_keys (
    user_id    bigint not null references users on delete cascade,
    key        text not null,
    request    text not null,  -- a digest: a key that comes again with another request is refused
    status     int not null,
    answer     text not null,
    created_at timestamptz not null default now(),
    primary key (user_id, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);
