// Lends dcrf-client to a test: each line of stdin is a call of it, each of stdout what came of one.
//
//     node dcrf_client.js URL [STREAM]
//
// With a stream its frames are bare, as those of a consumer that is not multiplexed.

const readline = require("node:readline");
const dcrf = require("dcrf-client").default;
const WebSocket = require("ws");

const [url, bareStream] = process.argv.slice(2);

const bare = {
  serialize: ({ payload }) => JSON.stringify(payload),
  deserialize: (text) => ({ stream: bareStream, payload: JSON.parse(text) }),
};

const client = dcrf.createClient(url, {
  pkField: "id",
  serializer: bareStream ? bare : undefined,
  websocket: { WebSocket, minReconnectionDelay: 50, maxReconnectionDelay: 200 },
});
const subscriptions = {};

function tell(what) {
  process.stdout.write(JSON.stringify(what) + "\n");
}

const calls = {
  subscribe(stream, pk, requestId) {
    const told = (data, action) => tell({ event: action, data });
    subscriptions[requestId] = client.subscribe(stream, pk, told, requestId);
    return subscriptions[requestId];
  },
  cancel: (requestId) => subscriptions[requestId].cancel(),
};

async function call({ number, method, values }) {
  try {
    const value = await (calls[method] || client[method].bind(client))(...values);
    tell({ number, value: value === undefined ? null : value });
  } catch (fault) {
    tell({ number, fault: fault instanceof Error ? fault.stack : fault });
  }
}

client.transport.on("open", () => tell({ event: "open" }));
client.initialize();
client.transport.socket.addEventListener("close", ({ code }) => tell({ event: "close", code }));
readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => call(JSON.parse(line)))
  .on("close", () => process.exit());
