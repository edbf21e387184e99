// Drives zigbee-herdsman: start, join, switch, dim, read, bind, report; prints one JSON line per
// event. Arguments: what to do ("full" or "warm"), a folder for its database, the coordinator's
// address. Finds the module through NODE_PATH.
"use strict";
const { Controller, setLogger } = require("zigbee-herdsman");

const [mode, folder, path] = process.argv.slice(2);
const begun = performance.now();
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const tell = (event, more) =>
    console.log(JSON.stringify({ event, s: (performance.now() - begun) / 1000, ...more }));
const warn = (message) => console.log(typeof message === "function" ? message() : message);
setLogger({ debug() {}, info() {}, warning: warn, error: warn });

const controller = new Controller({
    network: {
        panID: 0x1a62,
        extendedPanID: [1, 2, 3, 4, 5, 6, 7, 8],
        channelList: [15],
        networkKey: [1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 13],
        networkKeyDistribute: false,
    },
    transport: { path, adapter: "zstack", type: path.startsWith("tcp") ? "tcp" : "serial" },
    serialPort: { path, adapter: "zstack" },
    databasePath: `${folder}/database.db`,
    databaseBackupPath: `${folder}/database.backup`,
    backupPath: `${folder}/backup.json`,
    adapter: { disableLED: false },
    acceptJoiningDeviceHandler: async () => true,
});
const ready = new Map();
let reports = 0;
controller.on("deviceJoined", (e) => tell("joined", { ieee: e.device.ieeeAddr }));
controller.on("deviceInterview", (e) => {
    if (e.status === "successful") {
        ready.set(e.device.modelID, e.device);
        tell("interviewed", { ieee: e.device.ieeeAddr, model: e.device.modelID });
    }
});
controller.on("message", (e) => {
    if (e.type === "attributeReport" && e.cluster === "haElectricalMeasurement") reports += 1;
});

async function switching(endpoint) {
    const times = [];
    for (let turn = 0; turn < 30; turn += 1) {
        const start = performance.now();
        await endpoint.command("genOnOff", turn % 2 ? "off" : "on", {});
        times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    tell("switched", { p50_ms: times[14], p95_ms: times[28] });
}

async function full() {
    await controller.permitJoin(60);
    for (let turn = 0; turn < 400 && ready.size < 3; turn += 1) await wait(100);
    const plug = ready.get("Plug Dim");
    const endpoint = plug.getEndpoint(1);
    await switching(endpoint);
    await endpoint.command("genLevelCtrl", "moveToLevelWithOnOff", { level: 127, transtime: 2 });
    await wait(1000);
    const level = await endpoint.read("genLevelCtrl", ["currentLevel"]);
    tell("dimmed", level);
    const names = ["activePower", "rmsVoltage", "acPowerDivisor"];
    tell("read", await endpoint.read("haElectricalMeasurement", names));
    const own = controller.getDevicesByType("Coordinator")[0];
    await endpoint.bind("haElectricalMeasurement", own.getEndpoint(1));
    await endpoint.configureReporting("haElectricalMeasurement", [
        {
            attribute: "activePower",
            minimumReportInterval: 1,
            maximumReportInterval: 4,
            reportableChange: 1,
        },
    ]);
    reports = 0;
    await endpoint.command("genOnOff", "on", {});
    for (let turn = 0; turn < 150 && reports < 3; turn += 1) await wait(100);
    tell("reported", { reports });
    const sensor = [...ready.values()].find((one) => one.modelID.endsWith("Sensor"));
    tell("sensed", await sensor.getEndpoint(1).read("msTemperatureMeasurement", ["measuredValue"]));
    tell("neighbours", { count: (await own.lqi()).length });
    await controller.backup();
}

async function warm() {
    const plug = controller.getDevices().find((one) => one.modelID === "Plug Dim");
    await switching(plug.getEndpoint(1));
    await plug.removeFromNetwork();
    tell("left", {});
}

(async () => {
    tell("started", { result: await controller.start() });
    await (mode === "full" ? full() : warm());
    await controller.stop();
    tell("stopped", {});
    process.exit(0);
})().catch((error) => {
    console.log(error);
    process.exit(1);
});
