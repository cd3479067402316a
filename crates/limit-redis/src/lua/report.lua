
-- What counts for a key of one kind.
--
-- KEYS: its requests, paginated requests, closure and statistics. ARGV: the instant up to which sends are unknown, nodes out
--       of reach, nodes, whether pages count apart, longest hold, the most requests whose nodes are counted, requests
--       waiting; then for each rule name, capacity, units of a request, hold, bucket's interval and fill.
-- Returns microseconds until it is open again after the host's 429, requests rejected by the host; then for each rule units
-- used, microseconds until it admits, requests refused, delayed, and by node, alternating, its id and its units.
local time = clock()
local now = time[1] * 1000000 + time[2]
local fleet = {unknown = number(ARGV[1]), missing = number(ARGV[2]), nodes = number(ARGV[3])}
local pages, most, waiting = ARGV[4] == '1', number(ARGV[6]), number(ARGV[7])
local kind = {requests = KEYS[1], paginated = KEYS[2], closure = KEYS[3], statistics = KEYS[4], keep = number(ARGV[5])}
read(kind, now, pages)
local reply = {math.max(kind.closed - now, 0), number(call('HGET', kind.statistics, 'rejected') or 0)}
for place = 8, #ARGV, 6 do
  local rule = {name = ARGV[place], kind = kind, capacity = number(ARGV[place + 1]), plain = number(ARGV[place + 2]),
                hold = number(ARGV[place + 3]), interval = number(ARGV[place + 4]), fill = number(ARGV[place + 5])}
  judge(rule, rule.plain, now, fleet)
  local nodes, listed = {}, {}
  if kind.count + kind.pages <= most then
    local function add(key, units)
      for _, member in ipairs(call('ZRANGEBYSCORE', key, now - rule.hold, '+inf')) do
        local node = string.match(member, '^[^.]*')
        nodes[node] = (nodes[node] or 0) + units
      end
    end
    add(kind.requests, rule.plain)
    if pages then add(kind.paginated, 1) end
    for node, units in pairs(nodes) do
      table.insert(listed, node)
      table.insert(listed, units)
    end
  end
  table.insert(reply, told(rule))
  table.insert(reply, opens(rule, rule.plain, waiting * rule.plain, now, fleet) - now)
  table.insert(reply, number(call('HGET', kind.statistics, 'refused ' .. rule.name) or 0))
  table.insert(reply, number(call('HGET', kind.statistics, 'delayed ' .. rule.name) or 0))
  table.insert(reply, listed)
end
return reply
