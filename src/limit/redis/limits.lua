#!lua
-- Takes from every limit or from none, or gives back. Answers with the time, whether it was done,
-- and the level of each limit as it was before.
--
-- KEYS: the name under which the levels of each limit are kept
-- ARGV: 'take', 'give back' or 'peek', the cost, when that was granted which is given back, then
--   for each limit  what is spent, its numbers, and the time in which a burst comes back
-- Times are in nanoseconds, as decimal digits. What is not there is an empty text.
--
-- The numbers of a limit are 'interval:burst'. Kept is 'interval:burst:level', for each limit of
-- the name that has other numbers, with spaces between.
--
-- It decides as `Gcra` does, to the nanosecond. A number of Lua holds no time to the nanosecond,
-- so seconds and nanoseconds are apart here: no sum of two comes near 2^53.

-- How many levels of one name are kept at most: those that are over last.
local MOST = 16

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

-- A number is less than 2^32. A product beyond 2^53 seconds is not exact, but larger than any refill.
local function multiply(one, number)
  local high, low = math.floor(number / 65536), number % 65536
  local carry = one[2] * high
  local nanoseconds = carry % 1000000000 * 65536 + one[2] * low
  local seconds = math.floor(carry / 1000000000) * 65536 + math.floor(nanoseconds / 1000000000)
  return { one[1] * number + seconds, nanoseconds % 1000000000 }
end

local clock = redis.call('TIME')
local now = { tonumber(clock[1]), tonumber(clock[2]) * 1000 }

-- A level as it counts now.
local function current(level, refill)
  if is_before(level, now) then return now end
  local latest = add(now, refill)
  if is_before(latest, level) then return latest end
  return level
end

-- Reads what is kept of a limit: its level, or, of one that has none yet, the latest of its name;
-- and the others. If the last of them is over, there are none.
local function read(kept, numbers)
  local own, latest, others = nil, nil, {}
  for item in kept:gmatch('[^ ]+') do
    local of, level = item:match('^(%d+:%d+):(%d+)$')
    if not of then error('a level is no time') end
    level = time(level)
    if of == numbers then
      own = level
    else
      others[#others + 1] = { numbers = of, level = level }
    end
    if not latest or is_before(latest, level) then latest = level end
  end
  if latest and is_before(now, latest) then return own or latest, others end
  return nil, {}
end

-- Counts a request on a level of other numbers.
local function count(other, cost)
  local interval, burst = other.numbers:match('^(%d+):(%d+)$')
  interval, burst = time(interval), tonumber(burst)
  local refill = multiply(interval, burst)
  local spent = multiply(interval, math.min(cost, burst))
  other.level = current(add(current(other.level, refill), spent), refill)
end

-- Keeps levels until the last of them is over: one that is over before does not go on from another.
local function keep(limit, level)
  local levels = { { numbers = limit.numbers, level = level } }
  for _, other in ipairs(limit.others) do levels[#levels + 1] = other end
  table.sort(levels, function(one, other) return is_before(other.level, one.level) end)
  local last, items = levels[1].level, {}
  if not is_before(now, last) then
    redis.call('DEL', limit.key)
    return
  end
  for i = 1, math.min(#levels, MOST) do
    items[i] = levels[i].numbers .. ':' .. text(levels[i].level)
  end
  local over = last[1] * 1000 + math.ceil(last[2] / 1000000)
  redis.call('SET', limit.key, table.concat(items, ' '), 'PXAT', string.format('%d', over))
end

local asked, cost, since = ARGV[1], tonumber(ARGV[2]), { 0, 0 }
if ARGV[3] ~= '' then since = subtract(now, time(ARGV[3])) end

local answer, limits = { text(now), '1' }, {}
for i, key in ipairs(KEYS) do
  local spent, numbers, refill = ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3]
  local level, others = read(redis.call('GET', key) or '', numbers)
  limits[i] = {
    key = key,
    numbers = numbers,
    current = current(level or now, time(refill)),
    others = others,
    spent = time(spent),
    refill = time(refill),
  }
  answer[2 + i] = level and text(level) or ''
end

if asked == 'give back' then
  -- Not to others: it may have been more than they counted.
  for _, limit in ipairs(limits) do
    keep(limit, subtract(limit.current, subtract(limit.spent, since)))
  end
elseif asked == 'take' then
  for _, limit in ipairs(limits) do
    limit.after = add(limit.current, limit.spent)
    limit.refuses = is_before(add(now, limit.refill), limit.after)
    if limit.refuses then answer[2] = '0' end
  end
  for _, limit in ipairs(limits) do
    if answer[2] == '1' then
      for _, other in ipairs(limit.others) do count(other, cost) end
      keep(limit, limit.after)
    elseif limit.refuses then
      -- By it the client is told how long to wait.
      keep(limit, limit.current)
    end
  end
end
return answer
