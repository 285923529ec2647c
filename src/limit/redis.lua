#!lua
-- Takes from every limit or from none, or gives back. Answers with the time, whether it was done,
-- and each level as it was before.
--
-- KEYS: the name of each level
-- ARGV: 'take', 'give back' or 'peek', when that was granted which is given back, then
--   for each level  what is spent, the time in which a burst comes back, and '1' if others, with
--                   other ideas of the limit, count on the same level
-- Times are in nanoseconds, as decimal digits. What is not there is an empty text.
--
-- It decides as `Gcra` does, to the nanosecond. A number of Lua holds no time to the nanosecond,
-- so seconds and nanoseconds are apart here: no sum of two comes near 2^53.

local function time(text)
  if not text:match('^%d+$') or #text > 19 then
    error('a level is no time')
  end
  return { tonumber(text:sub(1, -10)) or 0, tonumber(text:sub(-9)) }
end

local function text(time) return string.format('%d%09d', time[1], time[2]) end

local function is_before(one, other)
  return one[1] < other[1] or (one[1] == other[1] and one[2] < other[2])
end

local function add(one, other)
  local seconds, nanoseconds = one[1] + other[1], one[2] + other[2]
  if nanoseconds < 1000000000 then return { seconds, nanoseconds } end
  return { seconds + 1, nanoseconds - 1000000000 }
end

-- Zero if it would be less.
local function subtract(one, other)
  if is_before(one, other) then return { 0, 0 } end
  local seconds, nanoseconds = one[1] - other[1], one[2] - other[2]
  if nanoseconds >= 0 then return { seconds, nanoseconds } end
  return { seconds - 1, nanoseconds + 1000000000 }
end

local clock = redis.call('TIME')
local now = { tonumber(clock[1]), tonumber(clock[2]) * 1000 }

-- Keeps a level until it is over.
local function keep(key, level)
  if is_before(now, level) then
    local over = level[1] * 1000 + math.ceil(level[2] / 1000000)
    redis.call('SET', key, text(level), 'PXAT', string.format('%d', over))
  else
    redis.call('DEL', key)
  end
end

-- The level as it counts now.
local function current(limit)
  if is_before(limit.level, now) then return now end
  local latest = add(now, limit.refill)
  if not limit.shared and is_before(latest, limit.level) then return latest end
  return limit.level
end

local asked, since = ARGV[1], { 0, 0 }
if ARGV[2] ~= '' then since = subtract(now, time(ARGV[2])) end

local answer, limits = { text(now), '1' }, {}
for i, key in ipairs(KEYS) do
  local level = redis.call('GET', key) or ''
  limits[i] = {
    key = key,
    level = level == '' and { 0, 0 } or time(level),
    spent = time(ARGV[3 * i]),
    refill = time(ARGV[3 * i + 1]),
    shared = ARGV[3 * i + 2] == '1',
  }
  answer[2 + i] = level
end

if asked == 'give back' then
  for _, limit in ipairs(limits) do
    keep(limit.key, subtract(limit.level, subtract(limit.spent, since)))
  end
elseif asked == 'take' then
  for _, limit in ipairs(limits) do
    limit.after = add(current(limit), limit.spent)
    limit.refuses = is_before(add(now, limit.refill), limit.after)
    if limit.refuses then answer[2] = '0' end
  end
  for _, limit in ipairs(limits) do
    if answer[2] == '1' then
      keep(limit.key, limit.after)
    elseif limit.refuses then
      -- By it the client is told how long to wait.
      keep(limit.key, current(limit))
    end
  end
end
return answer
