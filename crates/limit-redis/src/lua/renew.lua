-- Replaces a request by another that may still be sent, so that whatever is told later of the former does no harm.
--
-- KEYS: the fleet's state; then each kind's set that has it. ARGV: generation ('' isn't checked), the old member, the new
-- one, microseconds until the latest instant of sending, milliseconds to live.
local time = clock()
local now = time[1] * 1000000 + time[2]
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return {-1, now} end
for index = 2, #KEYS do
  if not redis.call('ZSCORE', KEYS[index], ARGV[2]) then return {0, now} end
end
for index = 2, #KEYS do
  redis.call('ZREM', KEYS[index], ARGV[2])
  redis.call('ZADD', KEYS[index], now + ARGV[4], ARGV[3])
  redis.call('PEXPIRE', KEYS[index], ARGV[5])
end
return {1, now}
