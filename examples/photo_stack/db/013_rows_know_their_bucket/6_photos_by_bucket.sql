create index concurrently if not exists photos_by_bucket on photos (bucket);
