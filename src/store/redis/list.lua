-- Visits places of an index, and returns the records there that may be asked for. What is returned is
-- looked at once more by the caller: here nothing is left out that may match.
--
-- KEYS: the index, ids, uses, the suspended tenants
-- ARGV: what the names of records begin with, where to begin, how many places to visit, and what is
--   asked for, as JSON
-- Returns how many places there were, the last of them, and for each record its place, the digest under
-- which it is kept, its JSON, when the key was last used, and 1 if its tenant is suspended, 2 if that
-- cannot be told, or else 0.
--
-- The names of records are not among KEYS: they are known by the index only. They have the prefix of
-- those that are, and with it the hash tag by which all are on one server of a cluster.

local index, ids, uses, suspended = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, from, count, asked = ARGV[1], ARGV[2], ARGV[3], cjson.decode(ARGV[4])

local places = redis.call('ZRANGE', index, from, '-', 'BYLEX', 'REV', 'LIMIT', 0, count)
if #places == 0 then return { 0, '', {} } end
local names = {}
for i, place in ipairs(places) do names[i] = string.sub(place, 22) end
local digests = redis.call('HMGET', ids, unpack(names))
local used = redis.call('ZMSCORE', uses, unpack(names))

local known, keys = {}, {}
for i, digest in ipairs(digests) do
  if digest then
    keys[#keys + 1] = prefix .. digest
    known[#known + 1] = i
  end
end
local records = #keys > 0 and redis.call('MGET', unpack(keys)) or {}

-- Times are texts of which some have parts of a second: with all nine digits they are in order.
local function exact(time)
  local parts = string.match(time, '%.(%d+)Z$') or ''
  return string.sub(time, 1, 19) .. parts .. string.rep('0', 9 - #parts)
end
local function is_text(value) return type(value) == 'string' end

-- Records are read only if something depends on what is in them.
local nobody_is_suspended = redis.call('ZCARD', suspended) == 0
local function standing_of(record)
  if nobody_is_suspended then return 0 end
  if not record then return 2 end
  local is_suspended = is_text(record.tenant) and redis.call('ZMSCORE', suspended, record.tenant)[1]
  return is_suspended and 1 or 0
end

local function may_be_in_state(record, standing)
  local state, expires_at = asked.state, record.expires_at
  if state == 'revoked' then return is_text(record.revoked_at) end
  if is_text(record.revoked_at) then return false end
  if state == 'disabled' then return record.disabled == true end
  if record.disabled == true then return false end
  if state == 'expired' then
    return is_text(expires_at) and exact(expires_at) <= asked.at
  end
  if is_text(expires_at) and exact(expires_at) <= asked.at then return false end
  return (state == 'suspended') == (standing == 1)
end

local function read(json)
  local is_read, record = pcall(cjson.decode, json)
  return is_read and type(record) == 'table' and record or nil
end

local function may_match(record, standing)
  -- The caller says what is wrong with it.
  if not record then return true end
  if asked.state and not may_be_in_state(record, standing) then return false end
  if asked.stage and record.stage ~= asked.stage then return false end
  if asked.kind and (record.kind or 'secret') ~= asked.kind then return false end
  if asked.created_by and record.created_by ~= asked.created_by then return false end
  if asked.rotation_due_by then
    local due_at = record.rotation_due_at
    if not is_text(due_at) or exact(due_at) > asked.rotation_due_by then return false end
  end
  return not asked.name or not is_text(record.name)
    or string.find(string.lower(record.name), asked.name, 1, true) ~= nil
end

local found = {}
for j, json in ipairs(records) do
  local i = known[j]
  local is_used = asked.unused_since and tonumber(used[i] or 0) > tonumber(asked.unused_since)
  if json and not is_used then
    local record = (asked.reads_records or not nobody_is_suspended) and read(json)
    local standing = standing_of(record)
    if not asked.reads_records or may_match(record, standing) then
      found[#found + 1] = { places[i], digests[i], json, used[i] or '0', standing }
    end
  end
end
return { #places, places[#places], found }
