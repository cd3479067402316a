
-- Admits a request under all rules, or says what is in the way.
--
-- KEYS: the fleet's state; then for each kind: requests, paginated requests, closure, statistics.
-- ARGV: generation ('' isn't checked), the instant up to which sends are unknown, nodes out of reach, member, mode, requests
--       waiting ahead, paginated ones ahead, whether it is paginated; then, the same for every request: the most
--       microseconds from now until it can be sent, nodes, whether pages count apart, number of kinds, for each kind longest
--       hold and entries kept, for each rule name, kind, capacity, units of a request, hold, bucket's interval and fill.
-- Modes: 'count' admits, or refuses and counts that; 'try' doesn't count; 'force' admits in any case; 'ask' never does.
-- Returns what was decided (-1: another generation, 0: refused, 1: admitted, 2: admitted though over a limit), now, the
-- rule, the units used under it, when it opens, whether it is closed, whether Mews' last 429 came without an explanation,
-- and the units used under each rule.
local time = clock()
local now = time[1] * 1000000 + time[2]
if ARGV[1] ~= '' and call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return {-1} end
local fleet = {unknown = number(ARGV[2]), missing = number(ARGV[3]), nodes = number(ARGV[10])}
local member, mode, paginated = ARGV[4], ARGV[5], ARGV[8] == '1'
local grace, pages, kinds, place = number(ARGV[9]), ARGV[11] == '1', {}, 13
for index = 1, number(ARGV[12]) do
  local at = 4 * index - 2
  local kind = {requests = KEYS[at], paginated = KEYS[at + 1], closure = KEYS[at + 2], statistics = KEYS[at + 3],
                keep = number(ARGV[place]), most = number(ARGV[place + 1])}
  read(kind, now, pages)
  kind.lives = math.ceil((kind.keep + grace) / 1000) + 1000
  kinds[index], place = kind, place + 2
end

local rules, blocking = {}, nil
for index = 1, (#ARGV - place + 1) / 7 do
  local rule = {name = ARGV[place], kind = kinds[number(ARGV[place + 1])], capacity = number(ARGV[place + 2]),
                plain = number(ARGV[place + 3]), hold = number(ARGV[place + 4]), interval = number(ARGV[place + 5]),
                fill = number(ARGV[place + 6])}
  place = place + 7
  local cost = paginated and 1 or rule.plain
  judge(rule, cost, now, fleet)
  if not rule.open or mode == 'ask' then
    local at = opens(rule, cost, ARGV[6] * rule.plain + ARGV[7], now, fleet)
    if (not rule.open or at > now) and (not blocking or at > blocking.at) then
      blocking = {index = index, used = told(rule), at = at, closed = rule.kind.closed > now and 1 or 0, rule = rule}
    end
  end
  rules[index] = rule
end

if blocking and (mode == 'count' or mode == 'force') then
  local kind = blocking.rule.kind
  call('HINCRBY', kind.statistics, 'refused ' .. blocking.rule.name, 1)
  call('PEXPIRE', kind.statistics, kind.lives)
end
if blocking and mode ~= 'force' then
  return {0, now, blocking.index, blocking.used, blocking.at, blocking.closed, 0}
end
if mode == 'ask' then return {1, now, 0, 0, now, 0, 0} end

local unexplained = 0
for _, kind in ipairs(kinds) do
  local key = (pages and paginated) and kind.paginated or kind.requests
  call('ZADD', key, now + grace, member)
  -- Only `observe` sends more than fits; what exceeds a full window changes no decision.
  if mode == 'force' then call('ZREMRANGEBYRANK', key, 0, -kind.most - 2) end
  call('PEXPIRE', key, kind.lives)
  if kind.unexplained > 0 then unexplained = 1 end
end
local reply, tightest, least, used = {1, now, 0, 0, now, 0, unexplained}, 0, nil, 0
for index, rule in ipairs(rules) do
  local cost = paginated and 1 or rule.plain
  rule.used = rule.used + cost
  if rule.interval > 0 then
    local full = math.min(rule.full + rule.interval * cost, now + rule.fill)
    call('HSET', rule.kind.statistics, 'bucket ' .. rule.name, string.format('%.3f', full))
    call('PEXPIRE', rule.kind.statistics, rule.kind.lives)
  end
  local left = math.floor(math.max(rule.room - rule.used, 0) / rule.plain)
  if not least or left < least then least, tightest, used = left, index, told(rule) end
  reply[7 + index] = told(rule)
end
reply[3], reply[4] = tightest, used
if blocking then
  reply[1], reply[3], reply[4], reply[5], reply[6] = 2, blocking.index, blocking.used, blocking.at, blocking.closed
end
return reply
