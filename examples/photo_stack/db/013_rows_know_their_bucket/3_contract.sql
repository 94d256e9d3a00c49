-- Nobody does without from now on; what is there already is looked at in the next step, when nobody has to wait for that.
alter table users
    add constraint users_have_bucket check (bucket is not null) not valid,
    add constraint users_bucket_is_here foreign key (bucket) references own_buckets not valid;
alter table photos
    add constraint photos_have_bucket check (bucket is not null) not valid,
    add constraint photos_bucket_is_here foreign key (bucket) references own_buckets not valid;
