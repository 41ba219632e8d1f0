// Publishes calls with Segment's real browser SDK in a page of jsdom, which asks before it sends to another origin, as
// browsers do: {"page", "url", "key", "calls"} on stdin, and on stdout {"errors": [...]}: what the SDK or the page told.
// Ends when every call was answered 200, or told as failed.
'use strict'

const { readFileSync, writeSync } = require('node:fs')
const { text } = require('node:stream/consumers')
const { JSDOM, VirtualConsole } = require('jsdom')

const SDK = readFileSync(require.resolve('@segment/analytics-next/dist/umd/index.js'), 'utf8')
const PAUSES = 1 / 20 // it waits up to five seconds before it tries again

const errors = []
let answered = 0

function argumentsOf({ call, messageId, timestamp, ...message }) {
  const options = { messageId, timestamp: new Date(timestamp) }
  switch (call) {
    case 'track': return [message.event, message.properties, options]
    case 'identify': return [message.userId, message.traits, options]
    case 'group': return [message.groupId, message.traits, options]
    case 'alias': return [message.userId, message.previousId, options]
    default: return [message.category, message.name, message.properties, options]
  }
}

function opened(page) {
  const { window } = new JSDOM('', { url: page, runScripts: 'outside-only', virtualConsole: new VirtualConsole() })
  const { setTimeout } = window
  window.setTimeout = (act, pause = 0, ...more) => setTimeout.call(window, act, pause * PAUSES, ...more)
  const { send } = window.XMLHttpRequest.prototype
  window.XMLHttpRequest.prototype.send = function (body) {
    if (body) this.addEventListener('load', () => { if (this.status === 200) answered += 1 })
    return send.call(this, body)
  }
  window.eval(SDK)
  return window
}

async function main() {
  const { page, url, key, calls } = JSON.parse(await text(process.stdin))
  const { AnalyticsBrowser } = opened(page).AnalyticsNext
  try {
    const [analytics] = await AnalyticsBrowser.load({ writeKey: key, cdnURL: url })
    analytics.on('error', ({ reason }) => errors.push(String(reason?.message ?? reason)))
    for (const one of calls) await analytics[one.call](...argumentsOf(one))
    while (answered + errors.length < calls.length) await new Promise((done) => setTimeout(done, 20))
  } catch (error) {
    errors.push(String(error?.message ?? error))
  }
  writeSync(1, JSON.stringify({ errors }))
  process.exit()
}

main()
