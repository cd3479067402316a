-- What the host's response reveals about its limits, for all keys of a request.
--
-- KEYS: closure and statistics of each kind. ARGV: the instant of the request, what (429 or 200), Retry-After in
-- microseconds (0: none), milliseconds that statistics live; then the longest pause, the shortest and the longest back-off,
-- and how long a back-off is remembered, in microseconds.
local number, call = tonumber, redis.call
local time = clock()
local now = time[1] * 1000000 + time[2]
local sent, what, pause = number(ARGV[1]), ARGV[2], number(ARGV[3])
local longest, least, most, memory = number(ARGV[5]), number(ARGV[6]), number(ARGV[7]), number(ARGV[8])
for index = 1, #KEYS, 2 do
  local key = KEYS[index]
  local state = call('HMGET', key, 'until', 'since', 'unexplained')
  local closed, since, unexplained = number(state[1] or 0), number(state[2] or 0), number(state[3] or 0)
  local changed = true
  if what == '200' then
    if sent >= since and unexplained > 0 then unexplained = 0 else changed = false end
  else
    call('HINCRBY', KEYS[index + 1], 'rejected', 1)
    call('PEXPIRE', KEYS[index + 1], ARGV[4])
    local length
    if pause > 0 then
      length = math.min(pause, longest)
    elseif sent < since then
      -- Part of the same burst, which counts once.
      changed = false
    else
      if closed + (unexplained > 0 and memory or 0) <= now then unexplained = 0 end
      length = math.min(least * 2 ^ math.min(unexplained, 6), most)
      unexplained = unexplained + 1
    end
    if changed then since, closed = now, math.max(closed, now + length) end
  end
  if changed then
    call('HSET', key, 'until', closed, 'since', since, 'unexplained', unexplained)
    local lives = math.max(closed - now, 0) + (unexplained > 0 and memory or 0)
    call('PEXPIRE', key, math.ceil(lives / 1000) + 1000)
  end
end
return now
