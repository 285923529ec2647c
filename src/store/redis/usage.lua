#!lua
-- Adds a batch of usage, unless its writer has added it before. Says whether it did.
--
-- KEYS: what the writer has added last, and each hash
-- ARGV: the number of the batch, for how many seconds the writer is known, then for each hash when it
--   expires, the tenant of its key or an empty text, how many fields follow, and the fields, each with what
--   is added to it
--
-- An error takes back nothing, so the number is noted first: what cannot be added is lost, and never
-- counted twice. The first line has the server see that it has memory and may be written to.
local number, seconds = ARGV[1], ARGV[2]
if tonumber(redis.call('GET', KEYS[1]) or '-1') >= tonumber(number) then return 0 end
redis.call('SET', KEYS[1], number, 'EX', seconds)
local next_arg = 3
for i = 2, #KEYS do
  local expires_at, tenant, fields = ARGV[next_arg], ARGV[next_arg + 1], tonumber(ARGV[next_arg + 2])
  next_arg = next_arg + 3
  for _ = 1, fields do
    redis.call('HINCRBY', KEYS[i], ARGV[next_arg], ARGV[next_arg + 1])
    next_arg = next_arg + 2
  end
  if tenant ~= '' then redis.call('HSET', KEYS[i], 'tenant', tenant) end
  redis.call('EXPIREAT', KEYS[i], expires_at)
end
return 1
