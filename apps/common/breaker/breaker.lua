-- Breakers that processes share; machine.py says the same in Python, and why.
--
-- KEYS  a hash per breaker, with the fields of machine.py's Memory. A missing one is a closed breaker. It is
--       forgotten two days after its last use (a cool-down lasts a day at most), but while an operator holds it
--       only when its service is no more.
-- ARGV  operation, now (milliseconds; empty: Redis's own clock), then what the operation asks for
--
-- A change is six values: the state before and after, why, two figures of the reason, and when.

local KEPT_MS = 172800000
local BUCKETS = 30
local FIELDS = {
  'state', 'epoch', 'since', 'run', 'recovery', 'until', 'token', 'answered', 'succeeded', 'cool', 'forced', 'window',
}

local argument = 0
local function take()
  argument = argument + 1
  return ARGV[argument]
end
local function take_number()
  return tonumber(take())
end

local operation, now = take(), take()
if now == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now = tonumber(now)
end

-- ARGV: "writing" to know whether Redis takes writes, by one that changes nothing: not so when it has no memory left
-- or only reads. HSET needs memory, as far as Redis is concerned; PEXPIRE doesn't.
-- Returns {now, whether it has written (0, 1), and of each breaker its key and the values of its fields}.
if operation == 'read' then
  local answer = {now, 0}
  if take() == 'writing' and KEYS[1] then
    local epoch = redis.call('HGET', KEYS[1], 'epoch')
    redis.call('HSET', KEYS[1], 'epoch', epoch or 0)
    if not epoch then
      redis.call('PEXPIRE', KEYS[1], KEPT_MS)
    end
    answer[2] = 1
  end
  for _, key in ipairs(KEYS) do
    answer[#answer + 1] = key
    answer[#answer + 1] = redis.call('HMGET', key, unpack(FIELDS))
  end
  return answer
end

-- Forgets breakers of services that are no more, also such as are held.
if operation == 'forget' then
  return redis.call('DEL', unpack(KEYS))
end

local settings = {
  opens_after = take_number(),
  share = take_number(),
  least_calls = take_number(),
  window = take_number(),
  recovery = take_number(),
  recovery_at_most = take_number(),
  closes_after = take_number(),
}

local key, changes = KEYS[1], {}
local found = redis.call('HMGET', key, unpack(FIELDS))
local memory, kept = {}, {}
for index, field in ipairs(FIELDS) do
  memory[field] = found[index] or ''
end
for _, field in ipairs({'epoch', 'since', 'run', 'recovery', 'until', 'answered', 'succeeded', 'cool'}) do
  memory[field] = tonumber(memory[field]) or 0
end
if memory.state == '' then
  memory.state = 'closed'
end
for field, value in pairs(memory) do
  kept[field] = value
end

local function text(number)
  return string.format('%.0f', number)
end

local function save()
  local written = {}
  for field, value in pairs(memory) do
    if value ~= kept[field] then
      written[#written + 1] = field
      written[#written + 1] = type(value) == 'number' and text(value) or value
    end
  end
  if written[1] then
    redis.call('HSET', key, unpack(written))
    if memory.forced == '' then
      redis.call('PEXPIRE', key, text(KEPT_MS))
    else
      redis.call('PERSIST', key)
    end
  end
end

local function become(after, why, some, others, at)
  for _, value in ipairs({memory.state, after, why, some, others, at}) do
    changes[#changes + 1] = value
  end
  memory.state, memory.epoch, memory.since = after, memory.epoch + 1, at
  memory.run, memory['until'], memory.token, memory.window = 0, 0, '', ''
end

local function open(why, some, others, at)
  become('open', why, some, others, at)
  memory.recovery = math.max(settings.recovery, math.min(2 * memory.recovery, settings.recovery_at_most))
  memory['until'] = at + memory.recovery
end

local width = math.max(math.floor(settings.window / BUCKETS), 1)
local newest = math.floor(now / width)

local function buckets()
  local read = {}
  for line in string.gmatch(memory.window, '[^;]+') do
    local number, calls, failures, first, last = string.match(line, '(%d+) (%d+) (%d+) (%-?%d+) (%-?%d+)')
    number = tonumber(number)
    if number > newest - BUCKETS then
      read[number] = {tonumber(calls), tonumber(failures), tonumber(first), tonumber(last)}
    end
  end
  return read
end

local function add_to(bucket, failed, after)
  if failed ~= nil then
    bucket[1] = bucket[1] + 1
    bucket[2] = bucket[2] + (failed and 1 or 0)
  end
  if after then
    bucket[3] = bucket[3] < 0 and after or math.min(bucket[3], after)
    bucket[4] = math.max(bucket[4], after)
  end
end

local function line(number, bucket)
  return text(number) .. ' ' .. table.concat(bucket, ' ') .. ';'
end

local function descending(one, other)
  return one > other
end

-- Counts a call of now (`failed`; nil: none), and marks an answer of another instant.
local function count(failed, answered)
  local number = answered and math.floor(answered / width)
  local after = answered and answered - number * width
  -- Nearly always all of it belongs to the first bucket, and then the others needn't be looked at.
  local head, calls, failures, first, last, rest =
    string.match(memory.window, '^(%d+) (%d+) (%d+) (%-?%d+) (%-?%d+);(.*)$')
  if tonumber(head) == newest and (not number or number == newest) then
    local bucket = {tonumber(calls), tonumber(failures), tonumber(first), tonumber(last)}
    add_to(bucket, failed, after)
    memory.window = line(newest, bucket) .. rest
    return
  end
  local read = buckets()
  if failed ~= nil then
    read[newest] = read[newest] or {0, 0, -1, -1}
    add_to(read[newest], failed)
  end
  if number and number > newest - BUCKETS then
    read[number] = read[number] or {0, 0, -1, -1}
    add_to(read[number], nil, after)
  end
  local numbers, lines = {}, {}
  for each in pairs(read) do
    numbers[#numbers + 1] = each
  end
  table.sort(numbers, descending)
  for index, each in ipairs(numbers) do
    lines[index] = line(each, read[each])
  end
  memory.window = table.concat(lines)
end

local function answered_since(start, stop)
  if memory.answered <= stop then
    return memory.answered >= start
  end
  for number, bucket in pairs(buckets()) do
    if bucket[3] >= 0 and number * width + bucket[3] <= stop and number * width + bucket[4] >= start then
      return true
    end
  end
  return false
end

-- A lease that has ended ended then, whoever looks.
if memory.state == 'half_open' and memory.token ~= '' and memory['until'] <= now then
  if memory.answered >= memory.since then
    memory.token, memory['until'] = '', 0
  else
    open('lost', 0, 0, memory['until'])
  end
end

-- ARGV: the probe's token, and how long its lease lasts.
-- Returns whether the call may go (0, 1), the epoch, whether it is the probe.
local function admit()
  local token, lease = take(), take_number()
  if memory.cool > now or memory.forced == 'open' then
    return 0, memory.epoch, 0
  end
  if memory.state == 'closed' then
    return 1, memory.epoch, 0
  end
  if memory.state == 'open' then
    if memory['until'] > now then
      return 0, memory.epoch, 0
    end
    become('half_open', 'due', 0, 0, now)
  elseif memory.token ~= '' then
    return 0, memory.epoch, 0
  end
  memory.token, memory['until'] = token, now + lease
  return 1, memory.epoch, 1
end

local function fail()
  if memory.state == 'half_open' then
    open('failed', 0, 0, now)
    return
  end
  memory.run = memory.run + 1
  count(true)
  if memory.forced ~= '' then
    return
  end
  local calls, failures = 0, 0
  for _, bucket in pairs(buckets()) do
    calls, failures = calls + bucket[1], failures + bucket[2]
  end
  if memory.run >= settings.opens_after then
    open('run', memory.run, 0, now)
  elseif calls >= settings.least_calls and failures >= settings.share * calls then
    open('share', failures, calls, now)
  end
end

local function answer(ended, succeeded)
  memory.answered = math.max(memory.answered, ended)
  if not succeeded then
    count(nil, ended)
    return
  end
  count(false, ended)
  memory.succeeded = math.max(memory.succeeded, ended)
  if memory.state == 'closed' then
    memory.run = 0
    return
  end
  memory.run = memory.run + 1
  if memory.run >= settings.closes_after then
    become('closed', 'answered', memory.run, 0, now)
    memory.recovery = 0
  end
end

-- ARGV: of the admission its epoch and token; the result, how long ago the call began and ended, and for how long
-- the service asked to be left alone (-1: it didn't).
local function record()
  local epoch, token, result = take_number(), take(), take()
  local start, ended, cool = now - take_number(), now - take_number(), take_number()
  if epoch ~= memory.epoch or memory.state == 'open' then
    return
  end
  if memory.state == 'half_open' then
    if memory.token == '' or token ~= memory.token then
      return
    end
    memory.token, memory['until'] = '', 0
  end
  if cool >= 0 then
    memory.cool = math.max(memory.cool, ended + cool)
  end
  if result == 'success' or result == 'neutral' then
    answer(ended, result == 'success')
  elseif result == 'failure' or (result == 'short_timeout' and not answered_since(start, ended)) then
    fail()
  end
end

-- ARGV: the state to hold it in, or nothing: back to automatic.
local function force()
  local state, held = take(), memory.forced
  if held == state then
    return
  end
  if state == '' then
    become(held == 'open' and 'half_open' or 'closed', 'released', 0, 0, now)
  else
    become(state, state == 'open' and 'opened' or 'closed', 0, 0, now)
  end
  memory.forced, memory.recovery, memory.cool = state, 0, 0
end

-- Returns {the key, the values of its fields if it has changed, the changes, and what the operation returns}.
local results = {({admit = admit, record = record, force = force})[operation]()}
save()
local values = {}
for index, field in ipairs(changes[1] and FIELDS or {}) do
  values[index] = type(memory[field]) == 'number' and text(memory[field]) or memory[field]
end
return {key, values, changes, unpack(results)}
