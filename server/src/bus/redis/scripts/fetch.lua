-- Reads values, with the epoch that makes versions of their counters. The answer: the epoch, then
-- each value or nil.
-- KEYS: the state's clock, the key of each value. ARGV: a candidate epoch.
local epoch = clock(KEYS[1], 'c', ARGV[1])
local values = { epoch }
for i = 2, #KEYS do
  -- MGET finds nothing in a key of another type, where GET would fail and take the other values along.
  values[i] = redis.call('MGET', KEYS[i])[1]
end
return values
