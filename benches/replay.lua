-- Asks for recordings by their numbers: each thread in order from a place of its own, or at random with RANDOM=1; with ALIKE=1 the
-- body has a blank more than the recorded one. Prints the figures as one line of JSON at the end.

local count = tonumber(os.getenv("COUNT"))
local random = os.getenv("RANDOM") == "1"
local blank = os.getenv("ALIKE") == "1" and " " or ""
local path = "/api/connector/v1/reservations/getAll/2023-06-06"
local headers = { ["Content-Type"] = "application/json" }
local threads = 0
local number = 0

function setup(thread)
    thread:set("place", threads)
    threads = threads + 1
end

function init(_)
    number = math.floor(place * count / tonumber(os.getenv("THREADS")))
    math.randomseed(place + 1)
end

function request()
    number = random and math.random(0, count - 1) or (number + 1) % count
    local body = string.format(
        '{"ClientToken":"REDACTED:00000000000a","AccessToken":"REDACTED:00000000000b","Client":"Replay 1.0",%s"Number":%d,"Limitation":{"Count":100}}',
        blank, number
    )
    return wrk.format("POST", path, headers, body)
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "seconds": %.6f, "p50": %d, "p99": %d, "max": %d, "errors": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout
    ))
end
