-- The limiter's rule over logs in Redis; memory.py and sql_logs.py say the same in their languages.
--
-- A log is a sorted set: a member per granted attempt, its score the stamp in microseconds. Two members are none.
-- The score of "h", the horizon, says how far back the log is complete; stamps lie far above any horizon, so it is
-- never counted. That of "c", below zero, says how many claims have added to an account's log. Recipients have no
-- logs of their own: an account's members begin with who was written to.
--
-- KEYS[1]  where Redis keeps the epoch
-- KEYS[2…] logs, referred to by their positions
-- ARGV     operation, epoch, now (microseconds; empty: Redis's own clock), the number of kinds, and of each the
--          horizon that its logs need, the number of its rules, and of each its count and window; then what the
--          operation asks for. A log is given as its position and its kind, an attempt as its member in the
--          account's log.
-- Returns  {"stale"} where another epoch is in force; otherwise see each operation. Times are microseconds.
--
-- A call of Redis costs more than all that Lua does around it. So whatever a log's size can tell is not asked
-- for (it is never less than the number of stamps that count), and what is added to a log is kept until somebody
-- asks for more than its size.

local KEPT_IDLE_MS = 604800000
-- How many members a log may gain before what lies beyond its horizon is forgotten.
local TIDIED_EVERY = 64
-- How much of a member in an account's log is its recipient.
local RECIPIENT = 22
-- How many values a call of Redis may well have.
local VALUES = 2000

local argument = 0
local function take()
  argument = argument + 1
  return ARGV[argument]
end
local function take_number()
  argument = argument + 1
  return tonumber(ARGV[argument])
end

local operation, epoch, now = take(), take(), take()
if redis.call('GET', KEYS[1]) ~= epoch then
  return {'stale'}
end
if now == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
else
  now = tonumber(now)
end

local texts = {}
local function text(number)
  local known = texts[number]
  if not known then
    known = string.format('%.0f', number)
    texts[number] = known
  end
  return known
end

-- `fewest` and `most` are the smallest and the largest count of its rules.
local function take_kind()
  local kind = {needs = take_number(), rules = {}, fewest = math.huge, most = 0}
  for index = 1, take_number() do
    local count = take_number()
    kind.rules[index] = {count = count, window = take_number()}
    kind.fewest, kind.most = math.min(kind.fewest, count), math.max(kind.most, count)
  end
  return kind
end

local kinds = {}
for index = 1, take_number() do
  kinds[index] = take_kind()
end

-- A log that is named twice is one.
local logs = {}
local function take_log()
  local position, kind = take_number(), kinds[take_number()]
  local log = logs[position]
  if not log then
    log = {key = KEYS[position], kind = kind, added = {}}
    logs[position] = log
  end
  return log
end

local function take_logs()
  local taken = {}
  for index = 1, take_number() do
    taken[index] = take_log()
  end
  return taken
end

local function horizon(log)
  if not log.reach then
    local found = redis.call('ZMSCORE', log.key, 'h', 'c')
    log.reach, log.claims = tonumber(found[1] or 0), -tonumber(found[2] or 0)
  end
  return log.reach
end

-- How many members a log has: its stamps, old ones too, and what it knows of itself.
local function size(log)
  if not log.size then
    log.size = redis.call('ZCARD', log.key)
  end
  return log.size
end

-- Writes what was added; forgets, every now and then, what lies beyond the horizon.
local function write(log)
  if not log.added[1] then
    return
  end
  redis.call('ZADD', log.key, unpack(log.added))
  local before = log.size - #log.added / 2
  log.added = {}
  local crossed = math.floor(before / TIDIED_EVERY) < math.floor(log.size / TIDIED_EVERY)
  if log.size > log.kind.most or crossed then
    local gone = redis.call('ZREMRANGEBYSCORE', log.key, '(' .. text(log.reach), text(now - log.reach))
    log.size = log.size - gone
  end
  if log.idle_ms or crossed then
    redis.call('PEXPIRE', log.key, text(log.idle_ms or KEPT_IDLE_MS))
  end
end

local function add(log, stamp, member)
  log.size = size(log) + 1
  local added = log.added
  added[#added + 1] = stamp
  added[#added + 1] = member
  if #added >= VALUES then
    write(log)
  end
end

-- How many slots a log has left. Where it is at least as many as are wanted it may be more than is said.
local function free(log, wanted)
  local least = log.kind.fewest - size(log)
  if least >= wanted then
    return least
  end
  write(log)
  least = math.huge
  for _, rule in ipairs(log.kind.rules) do
    local counted = redis.call('ZCOUNT', log.key, '(' .. text(now - rule.window), '+inf')
    least = math.min(least, rule.count - counted)
  end
  return least
end

-- For how long a log has none: until its count-th newest stamp has left the window.
local function wait(log)
  if size(log) < log.kind.fewest then
    return 0
  end
  write(log)
  local longest = 0
  for _, rule in ipairs(log.kind.rules) do
    local found = redis.call('ZREVRANGE', log.key, rule.count - 1, rule.count - 1, 'WITHSCORES')
    if found[2] then
      longest = math.max(longest, tonumber(found[2]) + rule.window - now)
    end
  end
  return longest
end

-- The stamps of an account's recipients, by recipient, the newest first; as far back as the account needs.
local function read_recipients(account)
  local stamps = {}
  write(account)
  if size(account) > 2 then
    local since = '(' .. text(now - account.kind.needs)
    local found = redis.call('ZREVRANGEBYSCORE', account.key, '+inf', since, 'WITHSCORES')
    for index = 1, #found, 2 do
      local recipient = string.sub(found[index], 1, RECIPIENT)
      stamps[recipient] = stamps[recipient] or {}
      table.insert(stamps[recipient], tonumber(found[index + 1]))
    end
  end
  return stamps
end

-- The same as `wait`, of one recipient.
local function recipient_wait(kind, stamps)
  local longest = 0
  for _, rule in ipairs(kind.rules) do
    local found = stamps[rule.count]
    if found then
      longest = math.max(longest, found + rule.window - now)
    end
  end
  return longest
end

local function descending(one, other)
  return one > other
end

-- The first of a candidate's logs that has no slot, by position, its recipient's being the last, and for how
-- long; 0 and 0 if all have one.
local function refusal(candidate, recipients)
  for index, log in ipairs(candidate.own) do
    local longest = wait(log)
    if longest > 0 then
      return index, longest
    end
  end
  if candidate.kind then
    local longest = recipient_wait(candidate.kind, recipients[candidate.recipient] or {})
    if longest > 0 then
      return #candidate.own + 1, longest
    end
  end
  return 0, 0
end

local function take_visit()
  local visit = {claims = take_number(), shared = take_logs(), candidates = {}}
  visit.account = visit.shared[#visit.shared]
  for index = 1, take_number() do
    local name = take()
    visit.candidates[index] = {
      name = name,
      recipient = string.sub(name, 1, RECIPIENT),
      member = string.sub(name, RECIPIENT + 1),
      kind = kinds[take_number()],
      own = take_logs(),
    }
  end
  return visit
end

-- Whether a visit's logs are complete; "missing" if one doesn't reach far enough, "load" if only the account's doesn't
-- or if it has the stamps of a claim that came to nothing.
local function lacks(visit)
  for _, log in ipairs(visit.shared) do
    if log ~= visit.account and horizon(log) < log.kind.needs then
      return 'missing'
    end
  end
  for _, candidate in ipairs(visit.candidates) do
    for _, log in ipairs(candidate.own) do
      if horizon(log) < log.kind.needs then
        return 'missing'
      end
    end
  end
  local account = visit.account
  return (horizon(account) < account.kind.needs or account.claims ~= visit.claims) and 'load'
end

local function decide(visit, ahead)
  local lacking = lacks(visit)
  if lacking then
    return {lacking}
  end
  local now_ahead, account = now + ahead, visit.account
  local stamp = text(now_ahead)
  account.idle_ms = math.floor((ahead + account.reach) / 1000) + 1

  local left, recipients, refusals = math.huge, read_recipients(account), {}
  for _, log in ipairs(visit.shared) do
    left = math.min(left, free(log, #visit.candidates))
  end
  for position, candidate in ipairs(visit.candidates) do
    local refused, longest = -1, 0
    if left > 0 then
      refused, longest = refusal(candidate, recipients)
    end
    if refused == 0 then
      left = left - 1
      for _, log in ipairs(visit.shared) do
        add(log, stamp, log == account and candidate.name or candidate.member)
      end
      for _, log in ipairs(candidate.own) do
        add(log, stamp, candidate.member)
      end
      local stamps = recipients[candidate.recipient] or {}
      table.insert(stamps, 1, now_ahead)
      table.sort(stamps, descending)
      recipients[candidate.recipient] = stamps
    else
      refusals[#refusals + 1] = position
      refusals[#refusals + 1] = refused
      refusals[#refusals + 1] = longest
    end
  end

  if #refusals < 3 * #visit.candidates then
    add(account, text(-visit.claims - 1), 'c')
  end
  local answer = {'ok'}
  for _, log in ipairs(visit.shared) do
    answer[#answer + 1] = wait(log)
  end
  for _, number in ipairs(refusals) do
    answer[#answer + 1] = number
  end
  return answer
end

-- ARGV: how far ahead a request may arrive; the number of visits, and of each how many claims the rows know to have
-- granted the account something; the logs that all candidates share, the account's last; then of each candidate its name, the kind of its recipient (0: no limit), and the
-- other logs of its own.
-- Returns {"ok", and of each visit a list}: {"ok", the wait of each shared log afterwards…, and of each candidate
-- that wasn't granted three numbers}: its position, and -1 and 0 if the shared logs had none left for it, or the
-- position of the own log that refused it and that one's wait. {"load"} or {"missing"} where a log is incomplete.
local function reserve()
  local answer, ahead = {'ok'}, take_number()
  for _ = 1, take_number() do
    answer[#answer + 1] = decide(take_visit(), ahead)
  end
  for _, log in pairs(logs) do
    write(log)
  end
  return answer
end

-- ARGV: the number of accounts' logs, and of each the log and the number of its attempts; then of these the name
-- and how long ago it ended (-1: it never began, so its slot is free again); then the number of other logs, and
-- of each its position, the number of its attempts, and their numbers (none if it has all of them).
-- Returns {"ok", each account's wait, or -1 where it had a slot already: then nobody has been put off}.
local function settle()
  local accounts, names, stamps, answer = {}, {}, {}, {'ok'}

  local function correct(key, first, last, name_of)
    local ended, unused = {}, {}
    for index = first, last do
      local name, stamp = name_of(index)
      if stamp then
        ended[#ended + 1] = stamp
        ended[#ended + 1] = name
      else
        unused[#unused + 1] = name
      end
      if ended[1] and (index == last or #ended >= VALUES) then
        redis.call('ZADD', key, 'XX', 'LT', unpack(ended))
        ended = {}
      end
      if unused[1] and (index == last or #unused >= VALUES) then
        redis.call('ZREM', key, unpack(unused))
        unused = {}
      end
    end
  end

  for index = 1, take_number() do
    local log, first = take_log(), #names + 1
    local before = wait(log)
    for _ = 1, take_number() do
      local age
      names[#names + 1], age = take(), take_number()
      stamps[#names] = age >= 0 and text(now - age)
    end
    correct(log.key, first, #names, function(number)
      return names[number], stamps[number]
    end)
    answer[index + 1] = before > 0 and wait(log) or -1
  end
  for _ = 1, take_number() do
    local key, some = KEYS[take_number()], take_number()
    correct(key, 1, some, function(index)
      local number = some < #names and take_number() or index
      return string.sub(names[number], RECIPIENT + 1), stamps[number]
    end)
  end
  return answer
end

-- ARGV: the number of logs, then of each its position, its horizon, how long it is kept when idle (microseconds), how
-- many claims have added to it (-1: it isn't an account's), and the number of its stamps, followed by these: a stamp and
-- its member.
-- Returns {"ok"}. Whatever an account's log held is forgotten. Another one that reaches as far by now is left as it is:
-- somebody else has loaded it since it was asked for, and may have added to it, while this call was on its way.
local function load()
  for _ = 1, take_number() do
    local key, reach, idle, claims = KEYS[take_number()], take_number(), take_number(), take_number()
    local is_known = claims < 0 and tonumber(redis.call('ZSCORE', key, 'h') or 0) >= reach
    if not is_known then
      redis.call('DEL', key)
      redis.call('ZADD', key, text(reach), 'h', text(-math.max(claims, 0)), 'c')
    end
    for _ = 1, take_number() do
      local stamp, member = take(), take()
      if not is_known then
        redis.call('ZADD', key, stamp, member)
      end
    end
    redis.call('PEXPIRE', key, text(math.floor(idle / 1000) + 1))
  end
  return {'ok'}
end

-- ARGV: the number of logs, and these.
-- Returns {"ok", and of each log two numbers}: the slots that it has left (-1: it doesn't reach far enough to
-- tell), and its wait.
local function state()
  local answer = {'ok'}
  for _ = 1, take_number() do
    local log = take_log()
    local known = horizon(log) >= log.kind.needs
    answer[#answer + 1] = known and free(log, math.huge) or -1
    answer[#answer + 1] = known and wait(log) or 0
  end
  return answer
end

return ({reserve = reserve, settle = settle, load = load, state = state})[operation]()
