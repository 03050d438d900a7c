-- Takes or keeps the lease under which one node takes in emitter messages. The answer: 1 if it is held.
-- KEYS: the lease. ARGV: the node, the lease in ms.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
