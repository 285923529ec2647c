#!lua
-- Makes changes, unless something is not as it was when they were decided on, or a tenant is suspended. Says
-- whether it did (1), or not (0), or because of which tenant not (-1 is the first).
--
-- KEYS: ids, uses, the suspended tenants, a name for each record that changes, and one for each that is only compared, an
--   index for each place
-- ARGV: the channel, how many records that change and that are compared, ids, places and tenants there are, then
--   for each record that changes   its digest, and its JSON before and after
--   for each that is compared      its JSON
--   for each id                    the id, and its digest before and after
--   for each place                 the place, and whether it is taken ('1') or left ('0')
--   for each tenant                its id: it must not be suspended
-- What is not there is an empty text.

local next_key, next_arg = 0, 0
local function key() next_key = next_key + 1 return KEYS[next_key] end
local function arg() next_arg = next_arg + 1 return ARGV[next_arg] end

local ids, uses, suspended, channel = key(), key(), key(), arg()
local number_of_records, number_of_compared = arg(), arg()
local number_of_ids, number_of_places, number_of_tenants = arg(), arg(), arg()
local records, compared, names, places, tenants = {}, {}, {}, {}, {}
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
  tenants[i] = arg()
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
for i, tenant in ipairs(tenants) do
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
for _, record in ipairs(records) do
  if record.after == '' then
    redis.call('DEL', record.key)
  else
    redis.call('SET', record.key, record.after)
  end
end
return 1
