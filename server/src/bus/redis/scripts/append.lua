-- Appends log events, those excepted whose id was taken before. The answer: how many it appended.
-- KEYS: the log's clock, its stream, the id of each event.
-- ARGV: a candidate epoch, the stream's length, an id's life in ms; kind, user and payload of each event.
local epoch, count = clock(KEYS[1], 'n', ARGV[1])
local appended = 0
for i = 3, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    local event = i * 3 - 5
    -- The event comes first: an id taken without it would turn the publisher's next try into a loss,
    -- a number counted without it would look like a gap.
    local entry = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*',
      'e', epoch, 'n', digits(count + 1),
      'k', ARGV[event], 'u', ARGV[event + 1], 'p', ARGV[event + 2])
    count = count + 1
    redis.call('HSET', KEYS[1], 'n', digits(count))
    redis.call('SET', KEYS[i], entry, 'PX', ARGV[3])
    appended = appended + 1
  end
end
return appended
