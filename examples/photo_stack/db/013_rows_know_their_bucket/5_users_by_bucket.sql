create index concurrently if not exists users_by_bucket on users (bucket);
