-- Replays prepared requests: CIRRUS_BENCH_REQUESTS names a file of records, each a decimal length, a
-- newline and that many bytes of raw HTTP request. Every answer but 200 is counted and reported, so a
-- fast error page cannot pass for a result.
local requests, at = {}, 0

function init()
  local file = assert(io.open(os.getenv("CIRRUS_BENCH_REQUESTS"), "rb"))
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
  at = math.random(#requests)
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read +
    summary.errors.write + summary.errors.timeout
  io.write(string.format(
    "RESULT requests=%d duration_us=%d bad=%d p50_us=%d p90_us=%d p99_us=%d max_us=%d\n",
    summary.requests, summary.duration, bad, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max))
end
