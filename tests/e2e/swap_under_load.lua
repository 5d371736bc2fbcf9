-- SPDX-License-Identifier: Apache-2.0
-- For wrk: posts $WORK/body.json and counts the answers that are neither that of $WORK/answer1 nor that of $WORK/answer2.
local function read(name)
  local file = assert(io.open(os.getenv("WORK") .. "/" .. name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

wrk.method = "POST"
wrk.body = read("body.json")
wrk.headers["Content-Type"] = "application/json"
local right = {[read("answer1")] = true, [read("answer2")] = true}
local threads = {}
wrong = 0  -- of each of wrk's threads, which done() asks for it

function setup(thread) table.insert(threads, thread) end

function response(status, headers, body)
  if status ~= 200 or not right[body] then wrong = wrong + 1 end
end

function done(summary, latency, requests)
  local all_wrong, errors = 0, summary.errors
  for _, thread in ipairs(threads) do all_wrong = all_wrong + thread:get("wrong") end
  io.write(string.format("requests=%d wrong=%d failed=%d p50_us=%d p99_us=%d\n", summary.requests, all_wrong,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
