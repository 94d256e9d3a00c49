-- A few rows at a time, until there are none.
with users_without as (select id from users where bucket is null limit 500),
     photos_without as (select id from photos where bucket is null limit 500),
     filled_users as (update users set bucket = users.id % 256 from users_without where users.id = users_without.id returning 1),
     filled_photos as (update photos set bucket = photos.id % 256 from photos_without where photos.id = photos_without.id returning 1)
select (select count(*) from filled_users) + (select count(*) from filled_photos);
