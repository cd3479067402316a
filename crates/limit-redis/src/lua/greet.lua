-- A node introduces itself, and learns what the fleet knows. Called with every connection, and by every node regularly.
--
-- KEYS: the fleet's state. ARGV: the incarnation of Redis that answers, the generation that has turned out to be lost or '',
-- a name for a new generation, the microseconds for which a request admitted before may still be sent, the node's id, its
-- name, its run, whether the run is new; the number of nodes with a share of their own (0: they have none), the microseconds
-- of silence after which a node is out of reach, those for which one that is back still counts so, those after which a seat
-- is free again; and the earliest instant at which the node can have said this (0: unknown).
-- Returns the generation, the instant up to which sends are unknown, now, the nodes out of reach, and whether the node has a
-- seat, by which it may use a share of its own.
local number, call, state = tonumber, redis.call, KEYS[1]
local time = clock()
local now = time[1] * 1000000 + time[2]
local function set(...) call('HSET', state, ...) end
local generation = call('HGET', state, 'generation')
if not generation or call('HGET', state, 'incarnation') ~= ARGV[1] or generation == ARGV[2] then
  -- Redis began anew, or is another one: what was sent before is unknown, and counts as much as could be.
  generation = ARGV[3]
  set('generation', generation, 'incarnation', ARGV[1], 'unknown', string.format('%.0f', now + ARGV[4]))
end
local id, run, nodes = ARGV[5], ARGV[7], number(ARGV[9])
local silence, returning, free, said = number(ARGV[10]), number(ARGV[11]), number(ARGV[12]), number(ARGV[13])
local seen = number(call('HGET', state, 'seen ' .. id) or -1)
-- Of a message that was delayed on its way only the time counts at which it was sent.
local at = string.format('%.0f', (said > 0 and said < now) and said or now)
if seen < 0 or at - seen > silence then set('since ' .. id, string.format('%.0f', now)) end
if seen < 0 or at - seen > 0 then set('seen ' .. id, at) end
set('name ' .. id, ARGV[6])
if ARGV[8] == '1' or seen < 0 then set('run ' .. id, run) end

local all, fields, seats, missing = call('HGETALL', state), {}, 0, nodes
for index = 1, #all, 2 do fields[all[index]] = all[index + 1] end
for field, last in pairs(fields) do
  local other = string.match(field, '^seen (.*)')
  if other and now - last > free then
    for _, what in ipairs({'seen ', 'since ', 'name ', 'run ', 'seat '}) do call('HDEL', state, what .. other) end
  elseif other and fields['seat ' .. other] then
    seats = seats + 1
    if now - last <= silence and now - (fields['since ' .. other] or now) >= returning then missing = missing - 1 end
  end
end
if not fields['seat ' .. id] and seats < nodes then
  set('seat ' .. id, 1)
  fields['seat ' .. id] = 1
end
-- Two processes of one name can't both have its share: the later one has.
local has_seat = fields['seat ' .. id] and call('HGET', state, 'run ' .. id) == run
return {generation, call('HGET', state, 'unknown'), now, math.max(missing, 0), has_seat and 1 or 0}
