-- Reads a clock, or begins its epoch. The answer: epoch, counter, Redis' time in ms.
-- KEYS: the clock. ARGV: the counter's field, a candidate epoch.
local epoch, count = clock(KEYS[1], ARGV[1], ARGV[2])
return { epoch, digits(count), digits(now_ms()) }
