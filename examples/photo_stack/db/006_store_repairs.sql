-- A photo whose files are not in the object stores as its row says: a store was away when they were put, or it was deleted. Committed together with what made
-- it so. The storekeeper brings it in order, from here, or from stage 8 on from the queue that the relay carries it to.
create table store_repairs (
    id       bigint generated always as identity primary key,  -- a photo may have several: what is added while one is in work is not lost with it
    photo_id bigint not null,                                  -- it may be gone
    files    text[] not null default '{}',                     -- that edges may have
    due_at   timestamptz not null default now()
);
create index store_repairs_by_time on store_repairs (due_at);

create function tell_store_repairs() returns trigger language plpgsql as $$ begin notify store_repairs; return null; end $$;
create trigger tell_store_repairs after insert on store_repairs for each statement execute function tell_store_repairs();
