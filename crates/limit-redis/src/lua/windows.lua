-- The windows of a key: for each kind of key a sorted set whose members are requests, and whose scores are the latest
-- instants, in microseconds of Redis' clock, at which each can have been sent.
local number, call = tonumber, redis.call

-- Reads the state of a kind. `keys` are its requests, paginated requests, closure and statistics.
local function read(kind, now, pages)
  local function count(key)
    call('ZREMRANGEBYSCORE', key, '-inf', string.format('(%.0f', now - kind.keep))
    return call('ZCARD', key)
  end
  kind.count = count(kind.requests)
  kind.pages = pages and count(kind.paginated) or 0
  local closure = call('HMGET', kind.closure, 'until', 'unexplained')
  kind.closed, kind.unexplained = number(closure[1] or 0), number(closure[2] or 0)
end

-- The instant by which so many units, at least one and no more than are used, have left a rule's window. Requests that may
-- still be sent are taken to be sent now.
local function leaving(rule, units, now)
  local kind, at = rule.kind, nil
  local function list(key, first, most)
    return call('ZRANGEBYSCORE', key, now - rule.hold, '+inf', 'WITHSCORES', 'LIMIT', first, most)
  end
  if kind.pages == 0 then
    at = number(list(kind.requests, math.ceil(units / rule.plain) - 1, 1)[2])
  else
    local requests = list(kind.requests, 0, math.ceil(units / rule.plain))
    local paginated = list(kind.paginated, 0, units)
    local i, j = 2, 2
    while units > 0 do
      local a, b = number(requests[i]), number(paginated[j])
      if a and (not b or a <= b) then
        at, i, units = a, i + 2, units - rule.plain
      elseif b then
        at, j, units = b, j + 2, units - 1
      else
        break
      end
    end
  end
  return math.min(at or now, now) + rule.hold + 1
end

-- What a rule says to a request of `cost` units: sets `used`, `room`, `full` (when its bucket is full) and `open`.
local function judge(rule, cost, now, fleet)
  local kind = rule.kind
  rule.room = rule.capacity
  -- What nodes out of reach may send by themselves.
  if fleet.missing > 0 then
    rule.room = rule.capacity - fleet.missing * math.floor(rule.capacity / rule.plain / fleet.nodes) * rule.plain
  end
  local count, paginated = kind.count, kind.pages
  if rule.hold < kind.keep then
    count = call('ZCOUNT', kind.requests, now - rule.hold, '+inf')
    if paginated > 0 then paginated = call('ZCOUNT', kind.paginated, now - rule.hold, '+inf') end
  end
  rule.used = rule.plain * count + paginated
  local filled = 0
  if rule.interval > 0 then
    rule.full = math.max(number(call('HGET', kind.statistics, 'bucket ' .. rule.name) or 0), now)
    -- A microsecond, because so large a number has no smaller parts: the window is what is exact.
    filled = rule.full + rule.interval * cost - rule.fill - 1
  end
  rule.unknown = fleet.unknown + rule.hold >= now
  rule.open = rule.used + cost <= rule.room and kind.closed <= now and filled <= now and not rule.unknown
end

-- When a judged rule would let a request of `cost` units pass, if those ahead, with `ahead` units, go as soon as possible.
local function opens(rule, cost, ahead, now, fleet)
  local at = math.max(now, rule.kind.closed)
  local need = rule.used + ahead + cost - rule.room
  if rule.room < cost then
    at = math.max(at, now + rule.hold + 1)
  elseif need > 0 then
    -- Whoever is ahead goes when another leaves, or now, and leaves itself a window later.
    local turns = 0
    if need > rule.used then
      turns = math.max(math.ceil((need - math.max(rule.used, rule.room)) / rule.room), 0)
      need = need - turns * rule.room
    end
    local left = now + rule.hold + 1
    if need <= rule.used then left = leaving(rule, need, now) end
    at = math.max(at, left + turns * (rule.hold + 1))
  end
  if rule.unknown then at = math.max(at, fleet.unknown + rule.hold + 1) end
  if rule.interval > 0 then at = math.max(at, rule.full + rule.interval * (cost + ahead) - rule.fill) end
  return at
end

-- What counts under a judged rule, as told to people: everything while nobody knows what was sent.
local function told(rule)
  if rule.unknown then return rule.capacity end
  return rule.used + rule.capacity - rule.room
end
