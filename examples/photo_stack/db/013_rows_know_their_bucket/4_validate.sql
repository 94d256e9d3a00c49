alter table users validate constraint users_have_bucket;
alter table users validate constraint users_bucket_is_here;
alter table photos validate constraint photos_have_bucket;
alter table photos validate constraint photos_bucket_is_here;
