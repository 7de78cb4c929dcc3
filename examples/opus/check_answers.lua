-- Copyright The Instar Authors
-- SPDX-License-Identifier: Apache-2.0
--
-- For wrk: compares every answer with what the file holds, byte by byte.
--
--   wrk --script check_answers.lua http://127.0.0.1:8080/page.html -- root/page.html
--
-- Says "checked" whenever one of its threads has had another 500 answers, and
-- in the end how many answers there were and how many were wrong.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  expected = file:read("*a")
  file:close()
  answers = 0
  wrong = 0
end

function response(status, headers, body)
  answers = answers + 1
  if status ~= 200 or body ~= expected then wrong = wrong + 1 end
  if answers % 500 == 0 then
    io.write("checked\n")
    io.flush()
  end
end

function done(summary, latency, requests)
  local answers, wrong = 0, 0
  for _, thread in ipairs(threads) do
    answers = answers + thread:get("answers")
    wrong = wrong + thread:get("wrong")
  end
  local errors = summary.errors
  io.write(string.format(
    "%d answers, %d wrong, %d connections refused or broken, %d late; the longest took %.1f ms\n", answers, wrong,
    errors.connect + errors.read + errors.write, errors.timeout, latency.max / 1000))
  io.flush()
end
