-- Tells what became of admitted requests. Idempotent but for what it counts.
--
-- KEYS: one for each entry. ARGV: three for each entry: what, a number, a member or field.
-- 'sent': it was sent no later than so many microseconds ago. 'unsent': it never will be. 'refill': so many microseconds
-- are given back to a bucket. 'count': a field grows by one, in statistics that live for so many milliseconds.
local time = clock()
local now = time[1] * 1000000 + time[2]
for index, key in ipairs(KEYS) do
  local what, value, member = ARGV[3 * index - 2], ARGV[3 * index - 1], ARGV[3 * index]
  if what == 'sent' then
    redis.call('ZADD', key, 'XX', 'LT', now - value, member)
  elseif what == 'unsent' then
    redis.call('ZREM', key, member)
  elseif what == 'count' then
    redis.call('HINCRBY', key, member, 1)
    redis.call('PEXPIRE', key, value)
  elseif redis.call('HEXISTS', key, member) == 1 then
    redis.call('HINCRBYFLOAT', key, member, value)
  end
end
return now
