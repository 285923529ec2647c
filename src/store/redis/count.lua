-- Visits places of a tenant's index, and says how many keys there count.
--
-- KEYS: the index, ids, revisions
-- ARGV: what the names of records begin with, where to begin, how many places to visit, the moment, and
--   the tenant
-- Returns how many places there were, the last of them, how many keys count, the tenant's revision, and
-- how many places its index has.
--
-- As in a list, the names of records are known by the index only.

local index, ids, revisions = KEYS[1], KEYS[2], KEYS[3]
local prefix, from, count, at, tenant = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local revision = redis.call('HGET', revisions, tenant) or ''
local all = redis.call('ZCARD', index)
local places = redis.call('ZRANGE', index, from, '-', 'BYLEX', 'REV', 'LIMIT', 0, count)
if #places == 0 then return { 0, '', 0, revision, all } end
local names, keys = {}, {}
for i, place in ipairs(places) do names[i] = string.sub(place, 22) end
for _, digest in ipairs(redis.call('HMGET', ids, unpack(names))) do
  if digest then keys[#keys + 1] = prefix .. digest end
end

-- With all digits of a second, times are in order as texts.
local function exact(time)
  local parts = string.match(time, '%.(%d+)Z$') or ''
  return string.sub(time, 1, 19) .. parts .. string.rep('0', 9 - #parts)
end
local function is_text(value) return type(value) == 'string' end

local function counts(json)
  local is_read, record = pcall(cjson.decode, json)
  if not is_read or type(record) ~= 'table' then return true end
  if is_text(record.revoked_at) then return false end
  return not is_text(record.expires_at) or exact(record.expires_at) > at
end

local number = 0
if #keys > 0 then
  for _, json in ipairs(redis.call('MGET', unpack(keys))) do
    if json and counts(json) then number = number + 1 end
  end
end
return { #places, places[#places], number, revision, all }
