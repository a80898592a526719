// The neighbour's process: serves HTTP, and asks what it is told to ask. It ends with the demo.
import { createServer } from 'node:http'
import { ask } from './neighborhood.mjs'

const server = createServer((request, response) => response.end(`outside sees ${request.socket.remoteAddress.replace(/^::ffff:/, '')}`))
server.listen(80, () => process.send('serving'))
process.on('message', async url => process.send(await ask(url)))
process.on('disconnect', () => process.exit())
