-- Sets values and tells the nodes, those values excepted whose id was taken before. The answer: how
-- many it set.
-- KEYS: the state's clock; of each value its key and, if it has one, its id.
-- ARGV: a candidate epoch, the channel, the life of a value in ms, the letter that begins the message;
-- of each value the life of its id in ms, 0 if it has none, its topic, its payload.
local epoch, count = clock(KEYS[1], 'c', ARGV[1])
-- At least the time in microseconds: a clock that was lost, or loaded from an older dump, would
-- otherwise give versions a second time.
local version = math.max(count + 1, now_us())
-- The numbers are taken before they are used, lest a failure half way leaves them to the next.
redis.call('HSET', KEYS[1], 'c', digits(version + (#ARGV - 4) / 3 - 1))
local message = { ARGV[4] .. ' ' .. epoch .. '\n' }
local next_key = 2
for i = 5, #ARGV, 3 do
  local key, id = KEYS[next_key], nil
  next_key = next_key + 1
  if ARGV[i] ~= '0' then
    id = KEYS[next_key]
    next_key = next_key + 1
  end
  if not id or redis.call('EXISTS', id) == 0 then
    local topic, payload = ARGV[i + 1], ARGV[i + 2]
    redis.call('SET', key, digits(version) .. '\n' .. payload, 'PX', ARGV[3])
    if id then
      redis.call('SET', id, '', 'PX', ARGV[i])
    end
    message[#message + 1] = digits(version) .. ' ' .. #topic .. ' ' .. #payload .. '\n' .. topic .. payload
    version = version + 1
  end
end
if #message > 1 then
  redis.call('PUBLISH', ARGV[2], table.concat(message))
end
return #message - 1
