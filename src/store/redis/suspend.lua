#!lua
-- Suspends a tenant, or resumes it. Says whether that changed anything.
--
-- KEYS: the suspended tenants
-- ARGV: the channel, the tenant, and since when it is suspended, which is empty if it is resumed

local since = redis.call('ZMSCORE', KEYS[1], ARGV[2])[1]
if (ARGV[3] ~= '') == (since ~= false) then return 0 end
-- Nobody hears of it before the script has ended, and it is seen first whether the user may publish.
redis.call('PUBLISH', ARGV[1], 'tenant ' .. ARGV[2])
if ARGV[3] == '' then return redis.call('ZREM', KEYS[1], ARGV[2]) end
return redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
