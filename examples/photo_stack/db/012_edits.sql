-- An edit makes a new version of the photo, always from its original. What is shown is the version of photos.version, until the next one has all its sizes.
alter table photos
    add edit text not null default '{}',        -- what was done to the original for the version that is shown
    add last_version int not null default 1;    -- the newest that was given a number: no number is given twice
alter table store_repairs add version int not null default 0;  -- which is to go, as nobody asks for it any more; 0: the photo as a whole, as its row says
alter table outbox add edit text not null default '{}';

-- A version has all its sizes: from now on it is shown, and what came before it is not asked for any more.
create function show_version(the_photo bigint, the_version int, its_edit text) returns void language sql as $$
    insert into loose_files (photo_id, version)
        select distinct photo_id, version from renditions where photo_id = the_photo and version < the_version on conflict do nothing;
    delete from renditions where photo_id = the_photo and version < the_version;
    delete from outbox where photo_id = the_photo and version <= the_version;
    update photos set version = the_version, edit = its_edit, fault = null,
        stored_bytes = bytes + (select sum(bytes) from renditions where photo_id = the_photo and version = the_version) where id = the_photo;
$$;
