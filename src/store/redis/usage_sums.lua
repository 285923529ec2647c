-- Sums up hashes of usage.
--
-- KEYS: the hashes
-- ARGV: the first hour that is asked for, and the one after the last
-- Returns for each hash the tenant of its key or false, and its hours or days: of each the number of its hour,
-- how many requests were accepted, and how many were refused. Numbers are exact up to 2^53.

local from, to = tonumber(ARGV[1]), tonumber(ARGV[2])
local hashes = {}
for i, key in ipairs(KEYS) do
  local fields = redis.call('HGETALL', key)
  local tenant, hours, sums = false, {}, {}
  for j = 1, #fields, 2 do
    if fields[j] == 'tenant' then
      tenant = fields[j + 1]
    else
      local hour, kind = string.match(fields[j], '^(%d+):(.*)$')
      hour = tonumber(hour)
      if hour >= from and hour < to then
        local sum = sums[hour]
        if not sum then
          sum = { hour, 0, 0 }
          sums[hour] = sum
          hours[#hours + 1] = sum
        end
        local place = kind == 'accepted' and 2 or 3
        sum[place] = sum[place] + tonumber(fields[j + 1])
      end
    end
  end
  hashes[i] = { tenant, hours }
end
return hashes
