#!lua
-- Adds a batch of usage, unless its writer has added it before. Says whether it did.
--
-- KEYS: what the writer has added last, each hash, and each block of days
-- ARGV: the number of the batch, for how many seconds the writer is known, how many hashes there are, then for
--   each hash when it expires, the tenant of its key or an empty text, how many fields follow, and the fields,
--   each with what is added to it, then for each block when it expires, the tenant or an empty text, how many
--   days follow, and the days by their places, each with how many requests were accepted and refused
--
-- An error takes back nothing, so the number is noted first: what cannot be added is lost, and never
-- counted twice. The first line has the server see that it has memory and may be written to.
local number, seconds, hashes = ARGV[1], ARGV[2], tonumber(ARGV[3])
if tonumber(redis.call('GET', KEYS[1]) or '-1') >= tonumber(number) then return 0 end
redis.call('SET', KEYS[1], number, 'EX', seconds)
local next_arg = 4

local function next_part()
  local expires_at, tenant, count = ARGV[next_arg], ARGV[next_arg + 1], tonumber(ARGV[next_arg + 2])
  next_arg = next_arg + 3
  return expires_at, tenant, count
end

for i = 2, 1 + hashes do
  local expires_at, tenant, fields = next_part()
  for _ = 1, fields do
    redis.call('HINCRBY', KEYS[i], ARGV[next_arg], ARGV[next_arg + 1])
    next_arg = next_arg + 2
  end
  if tenant ~= '' then redis.call('HSET', KEYS[i], 'tenant', tenant) end
  redis.call('EXPIREAT', KEYS[i], expires_at)
end

-- Returns where the numbers of a tenant begin in a block, as `usage_days.rs` describes it.
local function find(key, tenant)
  local name = string.char(#tenant) .. tenant
  -- Mostly, there is one part.
  if redis.call('GETRANGE', key, 0, #tenant) == name then return #name end
  local block, at = redis.call('GET', key) or '', 0
  while at < #block do
    local numbers = at + 1 + string.byte(block, at + 1)
    if string.sub(block, at + 1, numbers) == name then return numbers end
    at = numbers + 512
  end
  redis.call('APPEND', key, name .. string.rep('\0', 512))
  return at + #name
end

for i = 2 + hashes, #KEYS do
  local expires_at, tenant, days = next_part()
  local numbers = find(KEYS[i], tenant)
  for _ = 1, days do
    local bit = 8 * (numbers + 16 * tonumber(ARGV[next_arg]))
    redis.call('BITFIELD', KEYS[i], 'OVERFLOW', 'SAT', 'INCRBY', 'i64', bit, ARGV[next_arg + 1],
      'INCRBY', 'i64', bit + 64, ARGV[next_arg + 2])
    next_arg = next_arg + 3
  end
  redis.call('EXPIREAT', KEYS[i], expires_at)
end
return 1
