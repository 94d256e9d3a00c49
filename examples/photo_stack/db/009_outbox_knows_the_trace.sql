-- The request that a photo came with: what is done for it later belongs to the same trace.
alter table outbox add traceparent text not null default '';
