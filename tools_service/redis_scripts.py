"""What Redis does for the shared table, each in one atomic step.

The keys, all with one hash tag, so that a cluster keeps them together:

    {prefix}:fl:<tool>:<shape>, :fl:<tool>, :fl::<kind>   HASH, one row each
    {prefix}:rows     ZSET of the rows' suffixes by last use, which bounds them
    {prefix}:born     which table this is: another one after Redis has lost its data
    {prefix}:heard:<replica>   the last lesson of a replica that is in the table
    {prefix}:lessons  STREAM of the latest lessons, for the other replicas

A row's fields are the sketch's: `n` samples, `W` weight, `S` total, `u` unit, `t` last time, `b<i>`
the buckets, the same with `f` before them for failures, and `timeouts`, `cancels`, `judged`,
`inside`, `kind`.
"""

LEARN = """
-- KEYS: born heard rows lessons shape tool kind
-- ARGV: born number lesson bucket value now into ending inside kind half pause ttl rows lessons,
--       then the suffixes of the three rows
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if tonumber(ARGV[2]) <= tonumber(redis.call('GET', KEYS[2]) or '0') then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[13])
local value, now = tonumber(ARGV[5]), tonumber(ARGV[6])
local half, pause = tonumber(ARGV[11]), tonumber(ARGV[12])
local function text(number) return string.format('%.17g', number) end

local function add(key, p)
  local old = redis.call('HMGET', key, p .. 'n', p .. 'W', p .. 'S', p .. 'u', p .. 't')
  local n, W, S = tonumber(old[1] or '0'), tonumber(old[2] or '0'), tonumber(old[3] or '0')
  local unit, last = tonumber(old[4] or '1'), tonumber(old[5] or '0')
  if n > 0 then unit = unit * 2 ^ (math.min(math.max(now - last, 0), pause) / half) end
  if unit > 1e6 then
    local all = redis.call('HGETALL', key)
    for i = 1, #all, 2 do
      if string.match(all[i], '^' .. p .. 'b%-?%d+$') then
        local weight = tonumber(all[i + 1]) / unit
        if weight < 1e-6 then redis.call('HDEL', key, all[i])
        else redis.call('HSET', key, all[i], text(weight)) end
      end
    end
    W, S, unit = W / unit, S / unit, 1
  end
  local bucket = p .. 'b' .. ARGV[4]
  local weight = tonumber(redis.call('HGET', key, bucket) or '0') + unit
  redis.call('HSET', key, p .. 'n', n + 1, p .. 'W', text(W + unit),
    p .. 'S', text(S + unit * value), p .. 'u', text(unit), p .. 't', text(math.max(now, last)),
    bucket, text(weight))
end

for i = 5, 7 do
  if ARGV[7] == 'runs' then add(KEYS[i], '') elseif ARGV[7] == 'failures' then add(KEYS[i], 'f') end
  if ARGV[8] ~= '' then redis.call('HINCRBY', KEYS[i], ARGV[8], 1) end
  redis.call('HSET', KEYS[i], 'kind', ARGV[10])
  redis.call('EXPIRE', KEYS[i], ARGV[13])
  redis.call('ZADD', KEYS[3], 'GT', now, ARGV[11 + i])
end
if ARGV[9] ~= '' then
  redis.call('HINCRBY', KEYS[6], 'judged', 1)
  redis.call('HINCRBY', KEYS[6], 'inside', ARGV[9])
end
local most = tonumber(ARGV[14])
if redis.call('ZCARD', KEYS[3]) > most then
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -most - 1)
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[15], '*', 'lesson', ARGV[3])
return 1
"""

JOIN = """
-- KEYS: born rows lessons row...; ARGV: prefix of the rows. What is known, and where to go on.
local born = redis.call('GET', KEYS[1])
if not born then return {} end
local last = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
local found = {}
for _, suffix in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local row = redis.call('HGETALL', ARGV[1] .. suffix)
  if #row > 0 then found[#found + 1] = {suffix, row} end
end
return {born, last[1] and last[1][1] or '0-0', found}
"""

SEED = """
-- KEYS: born rows lessons heard
-- ARGV: born, prefix of the rows, ttl, rows as JSON, pending lessons as JSON, number of the last,
--       most lessons. Puts back a whole table, unless another replica was first.
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('GET', KEYS[1]) end
for _, suffix in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  redis.call('DEL', ARGV[2] .. suffix)
end
redis.call('DEL', KEYS[2])
for _, row in ipairs(cjson.decode(ARGV[4])) do
  local suffix, used, fields = row[1], row[2], row[3]
  for i = 1, #fields, 500 do
    redis.call('HSET', ARGV[2] .. suffix, unpack(fields, i, math.min(i + 499, #fields)))
  end
  redis.call('EXPIRE', ARGV[2] .. suffix, ARGV[3])
  redis.call('ZADD', KEYS[2], used, suffix)
end
for _, lesson in ipairs(cjson.decode(ARGV[5])) do
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], '*', 'lesson', lesson)
end
redis.call('SET', KEYS[4], ARGV[6], 'EX', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
"""
