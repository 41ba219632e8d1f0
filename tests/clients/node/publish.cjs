// Publishes calls with one of the real Node SDKs: {"sdk", "url", "key", "options", "handled", "calls"} on stdin, and on
// stdout {"errors": [...]}: what the SDK told its error handler. Without "handled" it has none, as in a careless service.
'use strict'

const { writeSync } = require('node:fs')
const { text } = require('node:stream/consumers')

const errors = []
process.on('exit', () => writeSync(1, JSON.stringify({ errors })))

function messageOf({ call, timestamp, ...message }) {
  return timestamp ? { ...message, timestamp: new Date(timestamp) } : message
}

async function segment({ url, key, options, handled, calls }) {
  const { Analytics } = require('@segment/analytics-node')
  const analytics = new Analytics({ writeKey: key, host: url, flushInterval: 500, ...options })
  if (handled) analytics.on('error', ({ reason }) => errors.push(String(reason?.message ?? reason)))
  for (const one of calls) analytics[one.call](messageOf(one))
  await analytics.closeAndFlush({ timeout: 60_000 })
}

async function rudder({ url, key, options, handled, calls }) {
  const Analytics = require('@rudderstack/rudder-sdk-node')
  const errorHandler = handled ? (error) => void errors.push(error.message) : undefined
  const analytics = new Analytics(key, { dataPlaneUrl: url, logLevel: 'error', errorHandler, ...options })
  const aside = [] // with each call it weighs its whole queue, which takes minutes once that is long
  for (const one of calls) {
    analytics[one.call](messageOf(one))
    if (analytics.queue.length >= 100) aside.push(...analytics.queue.splice(0))
  }
  analytics.queue.unshift(...aside)
  do await analytics.flush()
  while (analytics.queue.length > 0)
}

async function main() {
  const wanted = JSON.parse(await text(process.stdin))
  await { segment, rudder }[wanted.sdk](wanted)
}

main()
