#!lua
-- Makes changes, unless something is not as it was when they were decided on, or a tenant is suspended. Says
-- whether it did (1), or not (0), or because of which tenant not (-1 is the first).
--
-- KEYS: ids, uses, revisions, the suspended tenants, a name for each record that changes, and one for
--   each that is only compared, an index for each place, one for each tenant whose keys change, and one
--   for each whose keys were counted
-- ARGV: the channel, how many records that change and that are compared, ids, places, tenants whose keys
--   change, whose keys were counted, and that must not be suspended there are, then
--   for each record that changes   its digest, and its JSON before and after
--   for each that is compared      its JSON
--   for each id                    the id, and its digest before and after
--   for each place                 the place, and whether it is taken ('1') or left ('0')
--   for each tenant that changes   its name
--   for each that was counted      its name, its revision, and how many places its index had
--   for each that is needed        its name: it must not be suspended
-- What is not there is an empty text.

local next_key, next_arg = 0, 0
local function key() next_key = next_key + 1 return KEYS[next_key] end
local function arg() next_arg = next_arg + 1 return ARGV[next_arg] end

local ids, uses, revisions, suspended, channel = key(), key(), key(), key(), arg()
local number_of_records, number_of_compared = arg(), arg()
local number_of_ids, number_of_places = arg(), arg()
local number_of_tenants, number_of_counted, number_of_needed = arg(), arg(), arg()
local records, compared, names, places, tenants, counted, needed = {}, {}, {}, {}, {}, {}, {}
for i = 1, tonumber(number_of_records) do
  records[i] = { key = key(), digest = arg(), before = arg(), after = arg() }
end
for i = 1, tonumber(number_of_compared) do
  compared[i] = { key = key(), json = arg() }
end
for i = 1, tonumber(number_of_ids) do
  names[i] = { id = arg(), before = arg(), after = arg() }
end
for i = 1, tonumber(number_of_places) do
  places[i] = { index = key(), place = arg(), taken = arg() == '1' }
end
for i = 1, tonumber(number_of_tenants) do
  tenants[i] = { index = key(), tenant = arg() }
end
for i = 1, tonumber(number_of_counted) do
  counted[i] = { index = key(), tenant = arg(), revision = arg(), places = arg() }
end
for i = 1, tonumber(number_of_needed) do
  needed[i] = arg()
end

-- An error takes back nothing. The first line has the server see that it has memory and may be
-- written to. Everything is read before anything is written, not least to see that it has the right
-- type. Whether the user may publish is seen next; nobody hears of it before the script has ended.
-- The records, which count, come last.
for _, record in ipairs(records) do
  if (redis.call('GET', record.key) or '') ~= record.before then return 0 end
end
for _, record in ipairs(compared) do
  if (redis.call('GET', record.key) or '') ~= record.json then return 0 end
end
for _, name in ipairs(names) do
  if (redis.call('HGET', ids, name.id) or '') ~= name.before then return 0 end
end
-- A tenant's revision tells of changes by nodes that count, and its places of keys that others issue.
for _, of in ipairs(counted) do
  if (redis.call('HGET', revisions, of.tenant) or '') ~= of.revision then return 0 end
  if redis.call('ZCARD', of.index) ~= tonumber(of.places) then return 0 end
end
for _, of in ipairs(tenants) do of.revision = redis.call('HGET', revisions, of.tenant) or '0' end
for i, tenant in ipairs(needed) do
  if redis.call('ZMSCORE', suspended, tenant)[1] then return -i end
end
redis.call('ZCARD', uses)
for _, place in ipairs(places) do redis.call('ZCARD', place.index) end

for _, record in ipairs(records) do redis.call('PUBLISH', channel, record.digest) end
for _, name in ipairs(names) do
  if name.after == '' then
    redis.call('HDEL', ids, name.id)
    redis.call('ZREM', uses, name.id)
  else
    redis.call('HSET', ids, name.id, name.after)
    redis.call('ZADD', uses, 'NX', 0, name.id)
  end
end
for _, place in ipairs(places) do
  if place.taken then
    redis.call('ZADD', place.index, 0, place.place)
  else
    redis.call('ZREM', place.index, place.place)
  end
end
for _, of in ipairs(tenants) do
  if redis.call('ZCARD', of.index) == 0 then
    redis.call('HDEL', revisions, of.tenant)
  else
    redis.call('HSET', revisions, of.tenant, string.format('%d', of.revision + 1))
  end
end
for _, record in ipairs(records) do
  if record.after == '' then
    redis.call('DEL', record.key)
  else
    redis.call('SET', record.key, record.after)
  end
end
return 1
