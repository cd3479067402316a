-- A node introduces itself, and learns what the fleet knows. Called with every connection, and by every node regularly.
--
-- KEYS: the fleet's state. ARGV: the incarnation of Redis that answers, the generation that has turned out to be lost or '',
-- a name for a new generation, the microseconds for which a request admitted before may still be sent, the node's id and its
-- name, the number of nodes with a share of their own (0: they have none), the microseconds of silence after which one is
-- out of reach, and those for which one that is back counts as such.
-- Returns the generation, the instant up to which sends are unknown, now, the nodes out of reach, and the microseconds since
-- the node was heard of (-1: never).
local number, call, state = tonumber, redis.call, KEYS[1]
local time = clock()
local now = time[1] * 1000000 + time[2]
local generation = call('HGET', state, 'generation')
if not generation or call('HGET', state, 'incarnation') ~= ARGV[1] or generation == ARGV[2] then
  -- Redis began anew, or is another one: what was sent before is unknown, and counts as much as could be.
  generation = ARGV[3]
  call('HSET', state, 'generation', generation, 'incarnation', ARGV[1], 'unknown', string.format('%.0f', now + ARGV[4]))
end
local id, nodes, silence, returning = ARGV[5], number(ARGV[7]), number(ARGV[8]), number(ARGV[9])
local seen = number(call('HGET', state, 'seen ' .. id) or -1)
if seen < 0 or now - seen > silence then call('HSET', state, 'since ' .. id, string.format('%.0f', now)) end
call('HSET', state, 'seen ' .. id, string.format('%.0f', now), 'name ' .. id, ARGV[6])
local missing = nodes
if nodes > 0 then
  local all = call('HGETALL', state)
  local fields = {}
  for index = 1, #all, 2 do fields[all[index]] = all[index + 1] end
  for field, at in pairs(fields) do
    local other = string.match(field, '^seen (.*)')
    if other and now - at <= silence and now - (fields['since ' .. other] or now) >= returning then missing = missing - 1 end
  end
end
return {generation, call('HGET', state, 'unknown'), now, math.max(missing, 0), seen < 0 and -1 or now - seen}
