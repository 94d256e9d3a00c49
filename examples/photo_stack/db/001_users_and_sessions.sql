create table users (
    id            bigint generated always as identity primary key,
    name          text not null unique check (name ~ '^[a-z0-9_]{3,30}$'),
    password_hash text not null,
    created_at    timestamptz not null default now()
);

-- A browser's session or a mobile client's: what is kept is a digest of the token that the client has.
create table sessions (
    token_digest text primary key,
    user_id      bigint not null references users on delete cascade,
    kind         text not null check (kind in ('cookie', 'bearer')),
    expires_at   timestamptz not null
);
create index sessions_by_expiry on sessions (expires_at);
