-- Flights (identical questions that one caller asks for all) and the cache of their answers. One call, one visit.
--
-- KEYS[1]  the tenant's prefix, "huntaze:ai:{tenant}:". Every key below begins with it, so that all lie in one slot
--          of a cluster and no tenant's question ever meets another's.
-- ARGV     operation, identity of the question, token of the caller, now (milliseconds; empty: Redis's own clock),
--          then what the operation asks for. All times are milliseconds.
--
-- flight:<identity>  a hash: `leader` (a token), `ends` (when its lease does), `until` (when it has found an answer or
--                    given up), and a field per waiter, "w" .. token, that says until when it listens
-- told:<token>       a list: what a waiter has been told and not yet heard, a sign and what follows it
-- cache:<identity>   when it was made, a colon, the answer
-- index:*            of the cached: by_age and by_end (sorted sets), sizes (a hash, with their sum as `total`)

local operation, identity, token, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if now == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now = tonumber(now)
end

-- How long a flight is known after its lease, so that whoever takes over knows who listens.
local KEPT_MS = 60000
-- How long what a waiter was told waits for it.
local TOLD_MS = 60000
-- A waiter begins again when the lease that it was told of ends; so much later it has gone.
local LATE_MS = 5000
-- What an answer takes in memory beside its own bytes: names, the three indices.
local OVERHEAD = 768
-- What tells a waiter that nobody answers it.
local AGAIN = '?'
-- How many expired ones a call forgets though nobody needs their room.
local TIDIED = 50

local function key(kind, name)
  return KEYS[1] .. kind .. ':' .. name
end
local flight, by_age, by_end, sizes =
  key('flight', identity), key('index', 'by_age'), key('index', 'by_end'), key('index', 'sizes')

-- The cached answer and its age; nothing where it is older than `stale`.
local function cached(stale)
  local found = stale > 0 and redis.call('GET', key('cache', identity))
  if found then
    local colon = string.find(found, ':', 1, true)
    local age = math.max(now - tonumber(string.sub(found, 1, colon - 1)), 0)
    if age < stale then
      return string.sub(found, colon + 1), age
    end
  end
  return false, 0
end

-- Takes an answer out of the index; the bytes that it had.
local function unlist(name)
  local size = tonumber(redis.call('HGET', sizes, name) or 0)
  redis.call('HDEL', sizes, name)
  redis.call('ZREM', by_age, name)
  redis.call('ZREM', by_end, name)
  return size
end

local function forget(name)
  redis.call('DEL', key('cache', name))
  return unlist(name)
end

local function expired(limit)
  return redis.call('ZRANGEBYSCORE', by_end, '-inf', now, 'LIMIT', 0, limit)
end

-- Makes room for `size` bytes: what has expired goes first, then the oldest. Returns the bytes that are left.
local function make_room(total, size, cap)
  for _, name in ipairs(expired(TIDIED)) do
    total = total - forget(name)
  end
  while total + size > cap do
    local name = expired(1)[1] or redis.call('ZRANGE', by_age, 0, 0)[1]
    if not name then -- a Redis that evicts has taken one of the indices
      redis.call('DEL', by_end, sizes)
      return 0
    end
    total = total - forget(name)
  end
  return total
end

local function store(payload, stale, cap)
  local size = #payload + OVERHEAD
  if stale <= 0 then
    return 'not_asked'
  elseif size > cap then
    return 'too_large'
  end
  -- Redis refuses a script whatever needs memory when it has none, up to the script's first write. So this comes
  -- before any other, and is the one that is refused.
  local set = redis.pcall('SET', key('cache', identity), string.format('%.0f', now) .. ':' .. payload, 'PX', stale)
  if set.err then
    return string.find(set.err, 'OOM', 1, true) and 'no_memory' or 'refused'
  end
  local total = tonumber(redis.call('HGET', sizes, 'total') or 0) - unlist(identity)
  total = make_room(total, size, cap)
  redis.call('HSET', sizes, identity, size, 'total', total + size)
  redis.call('ZADD', by_age, now, identity)
  redis.call('ZADD', by_end, now + stale, identity)
  for _, index in ipairs({by_age, by_end, sizes}) do
    if redis.call('PTTL', index) < stale then
      redis.call('PEXPIRE', index, stale)
    end
  end
  return 'stored'
end

local operations = {}

-- lease, fresh, stale, for how long the caller takes at most if it leads, and waits at most if it joins (-1: for
-- anybody) → {"told", what} | {"hit", answer, age} | {"join", lease left, stale answer, age}
--            | {"lead", stale answer, age}
function operations.begin(lease, fresh, stale)
  lease = tonumber(lease)
  -- What came between two calls of a waiter's. It is also the first write, which needs no memory: so whatever
  -- follows is done even when there is none, and identical questions are paid for once then, too.
  local told = redis.call('LPOP', key('told', token))
  while told do
    if told ~= AGAIN then
      return {'told', told}
    end
    told = redis.call('LPOP', key('told', token))
  end
  local value, age = cached(stale)
  if value and age < fresh then
    return {'hit', value, age}
  end
  local takes, waits = tonumber(ARGV[8]), tonumber(ARGV[9])
  local known = redis.call('HMGET', flight, 'leader', 'ends', 'until')
  local leader, ends = known[1], tonumber(known[2] or 0)
  -- Who can't wait for so long takes over, with all who wait: nobody hears what the other one finds, but it is kept.
  if leader and leader ~= token and ends > now and (waits < 0 or tonumber(known[3] or 0) - now <= waits) then
    redis.call('HSET', flight, 'w' .. token, ends + LATE_MS)
    return {'join', ends - now, value, age}
  end
  redis.call('HSET', flight, 'leader', token, 'ends', now + lease, 'until', now + takes)
  redis.call('HDEL', flight, 'w' .. token)
  redis.call('PEXPIRE', flight, lease + KEPT_MS)
  return {'lead', value, age}
end

-- lease → 1 if the caller still leads, else 0. It does, too, when its lease is over and nobody has taken over.
function operations.extend(lease)
  lease = tonumber(lease)
  if redis.call('HGET', flight, 'leader') ~= token then
    return 0
  end
  redis.call('PEXPIRE', flight, lease + KEPT_MS) -- first, because it needs no memory either
  redis.call('HSET', flight, 'ends', now + lease)
  return 1
end

-- what to tell, stale (0: don't cache), cap → {how many were told; -1: it was no longer the caller's, what became
-- of the answer in the cache}
operations['end'] = function(what, stale, cap)
  local kept = store(string.sub(what, 2), stale, cap)
  if redis.call('HGET', flight, 'leader') ~= token then
    return {-1, kept}
  end
  local fields = redis.call('HGETALL', flight)
  if what == AGAIN then
    -- Whoever takes over tells all of them, also those who haven't begun again by then.
    redis.call('HDEL', flight, 'leader', 'ends', 'until')
    redis.call('PEXPIRE', flight, KEPT_MS)
  else
    redis.call('DEL', flight)
  end
  local told = 0
  for index = 1, #fields, 2 do
    local waiter = string.match(fields[index], '^w(.+)$')
    if waiter and tonumber(fields[index + 1]) >= now then
      local list = key('told', waiter)
      redis.call('RPUSH', list, what)
      redis.call('PEXPIRE', list, TOLD_MS)
      told = told + 1
    elseif waiter and what == AGAIN then
      redis.call('HDEL', flight, fields[index])
    end
  end
  return {told, kept}
end

-- For a cache that lives elsewhere than the flights: stale → {answer, age}
function operations.get(stale)
  return {cached(tonumber(stale))}
end

-- answer, stale, cap → what became of it
function operations.put(answer, stale, cap)
  return store(answer, stale, cap)
end

return operations[operation](ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]))
