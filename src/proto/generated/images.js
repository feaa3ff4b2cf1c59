/*eslint-disable block-scoped-var, id-length, no-control-regex, no-magic-numbers, no-mixed-operators, no-prototype-builtins, no-redeclare, no-shadow, no-var, sort-vars, default-case, jsdoc/require-param*/
import $protobuf from "protobufjs/minimal.js";

// Common aliases
const $Reader = $protobuf.Reader, $Writer = $protobuf.Writer, $util = $protobuf.util;
const $Object = $util.global.Object, $undefined = $util.global.undefined, $Error = $util.global.Error, $RangeError = $util.global.RangeError;

// Exported root namespace
const $root = $protobuf.roots["default"] || ($protobuf.roots["default"] = {});

/** @type {any} */
export const thaw = $root.thaw = (() => {

    /**
     * Namespace thaw.
     * @exports thaw
     * @namespace
     */
    const thaw = {};

    thaw.Inventory = (function() {

        /**
         * Properties of an Inventory.
         * @typedef {Object} thaw.Inventory.$Properties
         * @property {number} img_version Inventory img_version
         * @property {number|null} [compress] Inventory compress
         * @property {number|null} [compress_region_size] Inventory compress_region_size
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of an Inventory.
         * @memberof thaw
         * @interface IInventory
         * @augments thaw.Inventory.$Properties
         * @deprecated Use thaw.Inventory.$Properties instead.
         */

        /**
         * Shape of an Inventory.
         * @typedef {thaw.Inventory.$Properties} thaw.Inventory.$Shape
         */

        /**
         * Constructs a new Inventory.
         * @memberof thaw
         * @classdesc Represents an Inventory.
         * @constructor
         * @param {thaw.Inventory.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const Inventory = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * Inventory img_version.
         * @member {number} img_version
         * @memberof thaw.Inventory
         * @instance
         */
        Inventory.prototype.img_version = 0;

        /**
         * Inventory compress.
         * @member {number} compress
         * @memberof thaw.Inventory
         * @instance
         */
        Inventory.prototype.compress = 0;

        /**
         * Inventory compress_region_size.
         * @member {number} compress_region_size
         * @memberof thaw.Inventory
         * @instance
         */
        Inventory.prototype.compress_region_size = 0;

        /**
         * Encodes the specified Inventory message. Does not implicitly {@link thaw.Inventory.verify|verify} messages.
         * @function encode
         * @memberof thaw.Inventory
         * @static
         * @param {thaw.Inventory.$Properties} message Inventory message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        Inventory.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.img_version);
            if (message.compress != null && $Object.hasOwnProperty.call(message, "compress"))
                writer.uint32(/* id 15, wireType 0 =*/120).uint32(message.compress);
            if (message.compress_region_size != null && $Object.hasOwnProperty.call(message, "compress_region_size"))
                writer.uint32(/* id 16, wireType 0 =*/128).uint32(message.compress_region_size);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes an Inventory message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.Inventory
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.Inventory & thaw.Inventory.$Shape} Inventory
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        Inventory.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.Inventory();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.img_version = reader.uint32();
                        continue;
                    }
                case 15: {
                        if (wireType !== 0)
                            break;
                        message.compress = reader.uint32();
                        continue;
                    }
                case 16: {
                        if (wireType !== 0)
                            break;
                        message.compress_region_size = reader.uint32();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "img_version"))
                throw $util.ProtocolError("missing required 'img_version'", { instance: message });
            return message;
        };

        return Inventory;
    })();

    thaw.PstreeEntry = (function() {

        /**
         * Properties of a PstreeEntry.
         * @typedef {Object} thaw.PstreeEntry.$Properties
         * @property {number} pid PstreeEntry pid
         * @property {number} ppid PstreeEntry ppid
         * @property {number} pgid PstreeEntry pgid
         * @property {number} sid PstreeEntry sid
         * @property {Array.<number>|null} [threads] PstreeEntry threads
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a PstreeEntry.
         * @memberof thaw
         * @interface IPstreeEntry
         * @augments thaw.PstreeEntry.$Properties
         * @deprecated Use thaw.PstreeEntry.$Properties instead.
         */

        /**
         * Shape of a PstreeEntry.
         * @typedef {thaw.PstreeEntry.$Properties} thaw.PstreeEntry.$Shape
         */

        /**
         * Constructs a new PstreeEntry.
         * @memberof thaw
         * @classdesc Represents a PstreeEntry.
         * @constructor
         * @param {thaw.PstreeEntry.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const PstreeEntry = function (properties) {
            this.threads = [];
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * PstreeEntry pid.
         * @member {number} pid
         * @memberof thaw.PstreeEntry
         * @instance
         */
        PstreeEntry.prototype.pid = 0;

        /**
         * PstreeEntry ppid.
         * @member {number} ppid
         * @memberof thaw.PstreeEntry
         * @instance
         */
        PstreeEntry.prototype.ppid = 0;

        /**
         * PstreeEntry pgid.
         * @member {number} pgid
         * @memberof thaw.PstreeEntry
         * @instance
         */
        PstreeEntry.prototype.pgid = 0;

        /**
         * PstreeEntry sid.
         * @member {number} sid
         * @memberof thaw.PstreeEntry
         * @instance
         */
        PstreeEntry.prototype.sid = 0;

        /**
         * PstreeEntry threads.
         * @member {Array.<number>} threads
         * @memberof thaw.PstreeEntry
         * @instance
         */
        PstreeEntry.prototype.threads = $util.emptyArray;

        /**
         * Encodes the specified PstreeEntry message. Does not implicitly {@link thaw.PstreeEntry.verify|verify} messages.
         * @function encode
         * @memberof thaw.PstreeEntry
         * @static
         * @param {thaw.PstreeEntry.$Properties} message PstreeEntry message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        PstreeEntry.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.pid);
            writer.uint32(/* id 2, wireType 0 =*/16).uint32(message.ppid);
            writer.uint32(/* id 3, wireType 0 =*/24).uint32(message.pgid);
            writer.uint32(/* id 4, wireType 0 =*/32).uint32(message.sid);
            if (message.threads != null && message.threads.length)
                for (let i = 0; i < message.threads.length; ++i)
                    writer.uint32(/* id 5, wireType 0 =*/40).uint32(message.threads[i]);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a PstreeEntry message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.PstreeEntry
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.PstreeEntry & thaw.PstreeEntry.$Shape} PstreeEntry
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        PstreeEntry.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.PstreeEntry();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.pid = reader.uint32();
                        continue;
                    }
                case 2: {
                        if (wireType !== 0)
                            break;
                        message.ppid = reader.uint32();
                        continue;
                    }
                case 3: {
                        if (wireType !== 0)
                            break;
                        message.pgid = reader.uint32();
                        continue;
                    }
                case 4: {
                        if (wireType !== 0)
                            break;
                        message.sid = reader.uint32();
                        continue;
                    }
                case 5: {
                        if (wireType === 2) {
                            if (!(message.threads && message.threads.length))
                                message.threads = [];
                            reader.uint32s(message.threads);
                            continue;
                        }
                        if (wireType !== 0)
                            break;
                        if (!(message.threads && message.threads.length))
                            message.threads = [];
                        message.threads.push(reader.uint32());
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "pid"))
                throw $util.ProtocolError("missing required 'pid'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "ppid"))
                throw $util.ProtocolError("missing required 'ppid'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "pgid"))
                throw $util.ProtocolError("missing required 'pgid'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "sid"))
                throw $util.ProtocolError("missing required 'sid'", { instance: message });
            return message;
        };

        return PstreeEntry;
    })();

    thaw.Core = (function() {

        /**
         * Properties of a Core.
         * @typedef {Object} thaw.Core.$Properties
         * @property {number} mtype Core mtype
         * @property {thaw.TaskCore.$Properties|null} [tc] Core tc
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a Core.
         * @memberof thaw
         * @interface ICore
         * @augments thaw.Core.$Properties
         * @deprecated Use thaw.Core.$Properties instead.
         */

        /**
         * Shape of a Core.
         * @typedef {thaw.Core.$Properties} thaw.Core.$Shape
         */

        /**
         * Constructs a new Core.
         * @memberof thaw
         * @classdesc Represents a Core.
         * @constructor
         * @param {thaw.Core.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const Core = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * Core mtype.
         * @member {number} mtype
         * @memberof thaw.Core
         * @instance
         */
        Core.prototype.mtype = 0;

        /**
         * Core tc.
         * @member {thaw.TaskCore.$Properties|null|undefined} tc
         * @memberof thaw.Core
         * @instance
         */
        Core.prototype.tc = null;

        /**
         * Encodes the specified Core message. Does not implicitly {@link thaw.Core.verify|verify} messages.
         * @function encode
         * @memberof thaw.Core
         * @static
         * @param {thaw.Core.$Properties} message Core message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        Core.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.mtype);
            if (message.tc != null && $Object.hasOwnProperty.call(message, "tc"))
                $root.thaw.TaskCore.encode(message.tc, writer.uint32(/* id 3, wireType 2 =*/26).fork(), _depth + 1).ldelim();
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a Core message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.Core
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.Core & thaw.Core.$Shape} Core
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        Core.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.Core();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.mtype = reader.uint32();
                        continue;
                    }
                case 3: {
                        if (wireType !== 2)
                            break;
                        message.tc = $root.thaw.TaskCore.decode(reader, reader.size(), $undefined, _depth + 1, message.tc);
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "mtype"))
                throw $util.ProtocolError("missing required 'mtype'", { instance: message });
            return message;
        };

        return Core;
    })();

    thaw.TaskCore = (function() {

        /**
         * Properties of a TaskCore.
         * @typedef {Object} thaw.TaskCore.$Properties
         * @property {number} task_state TaskCore task_state
         * @property {string} comm TaskCore comm
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a TaskCore.
         * @memberof thaw
         * @interface ITaskCore
         * @augments thaw.TaskCore.$Properties
         * @deprecated Use thaw.TaskCore.$Properties instead.
         */

        /**
         * Shape of a TaskCore.
         * @typedef {thaw.TaskCore.$Properties} thaw.TaskCore.$Shape
         */

        /**
         * Constructs a new TaskCore.
         * @memberof thaw
         * @classdesc Represents a TaskCore.
         * @constructor
         * @param {thaw.TaskCore.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const TaskCore = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * TaskCore task_state.
         * @member {number} task_state
         * @memberof thaw.TaskCore
         * @instance
         */
        TaskCore.prototype.task_state = 0;

        /**
         * TaskCore comm.
         * @member {string} comm
         * @memberof thaw.TaskCore
         * @instance
         */
        TaskCore.prototype.comm = "";

        /**
         * Encodes the specified TaskCore message. Does not implicitly {@link thaw.TaskCore.verify|verify} messages.
         * @function encode
         * @memberof thaw.TaskCore
         * @static
         * @param {thaw.TaskCore.$Properties} message TaskCore message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        TaskCore.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.task_state);
            writer.uint32(/* id 6, wireType 2 =*/50).string(message.comm);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a TaskCore message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.TaskCore
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.TaskCore & thaw.TaskCore.$Shape} TaskCore
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        TaskCore.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.TaskCore();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.task_state = reader.uint32();
                        continue;
                    }
                case 6: {
                        if (wireType !== 2)
                            break;
                        message.comm = reader.string();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "task_state"))
                throw $util.ProtocolError("missing required 'task_state'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "comm"))
                throw $util.ProtocolError("missing required 'comm'", { instance: message });
            return message;
        };

        return TaskCore;
    })();

    thaw.Mm = (function() {

        /**
         * Properties of a Mm.
         * @typedef {Object} thaw.Mm.$Properties
         * @property {Array.<Long>|null} [mm_saved_auxv] Mm mm_saved_auxv
         * @property {Array.<thaw.Vma.$Properties>|null} [vmas] Mm vmas
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a Mm.
         * @memberof thaw
         * @interface IMm
         * @augments thaw.Mm.$Properties
         * @deprecated Use thaw.Mm.$Properties instead.
         */

        /**
         * Shape of a Mm.
         * @typedef {thaw.Mm.$Properties} thaw.Mm.$Shape
         */

        /**
         * Constructs a new Mm.
         * @memberof thaw
         * @classdesc Represents a Mm.
         * @constructor
         * @param {thaw.Mm.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const Mm = function (properties) {
            this.mm_saved_auxv = [];
            this.vmas = [];
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * Mm mm_saved_auxv.
         * @member {Array.<Long>} mm_saved_auxv
         * @memberof thaw.Mm
         * @instance
         */
        Mm.prototype.mm_saved_auxv = $util.emptyArray;

        /**
         * Mm vmas.
         * @member {Array.<thaw.Vma.$Properties>} vmas
         * @memberof thaw.Mm
         * @instance
         */
        Mm.prototype.vmas = $util.emptyArray;

        /**
         * Encodes the specified Mm message. Does not implicitly {@link thaw.Mm.verify|verify} messages.
         * @function encode
         * @memberof thaw.Mm
         * @static
         * @param {thaw.Mm.$Properties} message Mm message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        Mm.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            if (message.mm_saved_auxv != null && message.mm_saved_auxv.length)
                for (let i = 0; i < message.mm_saved_auxv.length; ++i)
                    writer.uint32(/* id 13, wireType 0 =*/104).uint64(message.mm_saved_auxv[i]);
            if (message.vmas != null && message.vmas.length)
                for (let i = 0; i < message.vmas.length; ++i)
                    $root.thaw.Vma.encode(message.vmas[i], writer.uint32(/* id 14, wireType 2 =*/114).fork(), _depth + 1).ldelim();
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a Mm message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.Mm
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.Mm & thaw.Mm.$Shape} Mm
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        Mm.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.Mm();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 13: {
                        if (wireType === 2) {
                            if (!(message.mm_saved_auxv && message.mm_saved_auxv.length))
                                message.mm_saved_auxv = [];
                            reader.uint64s(message.mm_saved_auxv);
                            continue;
                        }
                        if (wireType !== 0)
                            break;
                        if (!(message.mm_saved_auxv && message.mm_saved_auxv.length))
                            message.mm_saved_auxv = [];
                        message.mm_saved_auxv.push(reader.uint64());
                        continue;
                    }
                case 14: {
                        if (wireType !== 2)
                            break;
                        if (!(message.vmas && message.vmas.length))
                            message.vmas = [];
                        message.vmas.push($root.thaw.Vma.decode(reader, reader.size(), $undefined, _depth + 1));
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            return message;
        };

        return Mm;
    })();

    thaw.Vma = (function() {

        /**
         * Properties of a Vma.
         * @typedef {Object} thaw.Vma.$Properties
         * @property {Long} start Vma start
         * @property {Long} end Vma end
         * @property {Long} pgoff Vma pgoff
         * @property {Long} shmid Vma shmid
         * @property {number} prot Vma prot
         * @property {number} flags Vma flags
         * @property {number} status Vma status
         * @property {Long|null} [madv] Vma madv
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a Vma.
         * @memberof thaw
         * @interface IVma
         * @augments thaw.Vma.$Properties
         * @deprecated Use thaw.Vma.$Properties instead.
         */

        /**
         * Shape of a Vma.
         * @typedef {thaw.Vma.$Properties} thaw.Vma.$Shape
         */

        /**
         * Constructs a new Vma.
         * @memberof thaw
         * @classdesc Represents a Vma.
         * @constructor
         * @param {thaw.Vma.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const Vma = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * Vma start.
         * @member {Long} start
         * @memberof thaw.Vma
         * @instance
         */
        Vma.prototype.start = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

        /**
         * Vma end.
         * @member {Long} end
         * @memberof thaw.Vma
         * @instance
         */
        Vma.prototype.end = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

        /**
         * Vma pgoff.
         * @member {Long} pgoff
         * @memberof thaw.Vma
         * @instance
         */
        Vma.prototype.pgoff = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

        /**
         * Vma shmid.
         * @member {Long} shmid
         * @memberof thaw.Vma
         * @instance
         */
        Vma.prototype.shmid = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

        /**
         * Vma prot.
         * @member {number} prot
         * @memberof thaw.Vma
         * @instance
         */
        Vma.prototype.prot = 0;

        /**
         * Vma flags.
         * @member {number} flags
         * @memberof thaw.Vma
         * @instance
         */
        Vma.prototype.flags = 0;

        /**
         * Vma status.
         * @member {number} status
         * @memberof thaw.Vma
         * @instance
         */
        Vma.prototype.status = 0;

        /**
         * Vma madv.
         * @member {Long} madv
         * @memberof thaw.Vma
         * @instance
         */
        Vma.prototype.madv = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

        /**
         * Encodes the specified Vma message. Does not implicitly {@link thaw.Vma.verify|verify} messages.
         * @function encode
         * @memberof thaw.Vma
         * @static
         * @param {thaw.Vma.$Properties} message Vma message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        Vma.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint64(message.start);
            writer.uint32(/* id 2, wireType 0 =*/16).uint64(message.end);
            writer.uint32(/* id 3, wireType 0 =*/24).uint64(message.pgoff);
            writer.uint32(/* id 4, wireType 0 =*/32).uint64(message.shmid);
            writer.uint32(/* id 5, wireType 0 =*/40).uint32(message.prot);
            writer.uint32(/* id 6, wireType 0 =*/48).uint32(message.flags);
            writer.uint32(/* id 7, wireType 0 =*/56).uint32(message.status);
            if (message.madv != null && $Object.hasOwnProperty.call(message, "madv"))
                writer.uint32(/* id 9, wireType 0 =*/72).uint64(message.madv);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a Vma message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.Vma
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.Vma & thaw.Vma.$Shape} Vma
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        Vma.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.Vma();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.start = reader.uint64();
                        continue;
                    }
                case 2: {
                        if (wireType !== 0)
                            break;
                        message.end = reader.uint64();
                        continue;
                    }
                case 3: {
                        if (wireType !== 0)
                            break;
                        message.pgoff = reader.uint64();
                        continue;
                    }
                case 4: {
                        if (wireType !== 0)
                            break;
                        message.shmid = reader.uint64();
                        continue;
                    }
                case 5: {
                        if (wireType !== 0)
                            break;
                        message.prot = reader.uint32();
                        continue;
                    }
                case 6: {
                        if (wireType !== 0)
                            break;
                        message.flags = reader.uint32();
                        continue;
                    }
                case 7: {
                        if (wireType !== 0)
                            break;
                        message.status = reader.uint32();
                        continue;
                    }
                case 9: {
                        if (wireType !== 0)
                            break;
                        message.madv = reader.uint64();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "start"))
                throw $util.ProtocolError("missing required 'start'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "end"))
                throw $util.ProtocolError("missing required 'end'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "pgoff"))
                throw $util.ProtocolError("missing required 'pgoff'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "shmid"))
                throw $util.ProtocolError("missing required 'shmid'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "prot"))
                throw $util.ProtocolError("missing required 'prot'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "flags"))
                throw $util.ProtocolError("missing required 'flags'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "status"))
                throw $util.ProtocolError("missing required 'status'", { instance: message });
            return message;
        };

        return Vma;
    })();

    thaw.PagemapHead = (function() {

        /**
         * Properties of a PagemapHead.
         * @typedef {Object} thaw.PagemapHead.$Properties
         * @property {number} pages_id PagemapHead pages_id
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a PagemapHead.
         * @memberof thaw
         * @interface IPagemapHead
         * @augments thaw.PagemapHead.$Properties
         * @deprecated Use thaw.PagemapHead.$Properties instead.
         */

        /**
         * Shape of a PagemapHead.
         * @typedef {thaw.PagemapHead.$Properties} thaw.PagemapHead.$Shape
         */

        /**
         * Constructs a new PagemapHead.
         * @memberof thaw
         * @classdesc Represents a PagemapHead.
         * @constructor
         * @param {thaw.PagemapHead.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const PagemapHead = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * PagemapHead pages_id.
         * @member {number} pages_id
         * @memberof thaw.PagemapHead
         * @instance
         */
        PagemapHead.prototype.pages_id = 0;

        /**
         * Encodes the specified PagemapHead message. Does not implicitly {@link thaw.PagemapHead.verify|verify} messages.
         * @function encode
         * @memberof thaw.PagemapHead
         * @static
         * @param {thaw.PagemapHead.$Properties} message PagemapHead message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        PagemapHead.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.pages_id);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a PagemapHead message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.PagemapHead
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.PagemapHead & thaw.PagemapHead.$Shape} PagemapHead
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        PagemapHead.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.PagemapHead();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.pages_id = reader.uint32();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "pages_id"))
                throw $util.ProtocolError("missing required 'pages_id'", { instance: message });
            return message;
        };

        return PagemapHead;
    })();

    thaw.PagemapEntry = (function() {

        /**
         * Properties of a PagemapEntry.
         * @typedef {Object} thaw.PagemapEntry.$Properties
         * @property {Long} vaddr PagemapEntry vaddr
         * @property {number} compat_nr_pages PagemapEntry compat_nr_pages
         * @property {boolean|null} [in_parent] PagemapEntry in_parent
         * @property {number|null} [flags] PagemapEntry flags
         * @property {Long|null} [nr_pages] PagemapEntry nr_pages
         * @property {Array.<number>|null} [compressed_size] PagemapEntry compressed_size
         * @property {Long|null} [total_compressed_size] PagemapEntry total_compressed_size
         * @property {number|null} [region_pages] PagemapEntry region_pages
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a PagemapEntry.
         * @memberof thaw
         * @interface IPagemapEntry
         * @augments thaw.PagemapEntry.$Properties
         * @deprecated Use thaw.PagemapEntry.$Properties instead.
         */

        /**
         * Shape of a PagemapEntry.
         * @typedef {thaw.PagemapEntry.$Properties} thaw.PagemapEntry.$Shape
         */

        /**
         * Constructs a new PagemapEntry.
         * @memberof thaw
         * @classdesc Represents a PagemapEntry.
         * @constructor
         * @param {thaw.PagemapEntry.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const PagemapEntry = function (properties) {
            this.compressed_size = [];
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * PagemapEntry vaddr.
         * @member {Long} vaddr
         * @memberof thaw.PagemapEntry
         * @instance
         */
        PagemapEntry.prototype.vaddr = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

        /**
         * PagemapEntry compat_nr_pages.
         * @member {number} compat_nr_pages
         * @memberof thaw.PagemapEntry
         * @instance
         */
        PagemapEntry.prototype.compat_nr_pages = 0;

        /**
         * PagemapEntry in_parent.
         * @member {boolean} in_parent
         * @memberof thaw.PagemapEntry
         * @instance
         */
        PagemapEntry.prototype.in_parent = false;

        /**
         * PagemapEntry flags.
         * @member {number} flags
         * @memberof thaw.PagemapEntry
         * @instance
         */
        PagemapEntry.prototype.flags = 0;

        /**
         * PagemapEntry nr_pages.
         * @member {Long} nr_pages
         * @memberof thaw.PagemapEntry
         * @instance
         */
        PagemapEntry.prototype.nr_pages = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

        /**
         * PagemapEntry compressed_size.
         * @member {Array.<number>} compressed_size
         * @memberof thaw.PagemapEntry
         * @instance
         */
        PagemapEntry.prototype.compressed_size = $util.emptyArray;

        /**
         * PagemapEntry total_compressed_size.
         * @member {Long} total_compressed_size
         * @memberof thaw.PagemapEntry
         * @instance
         */
        PagemapEntry.prototype.total_compressed_size = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

        /**
         * PagemapEntry region_pages.
         * @member {number} region_pages
         * @memberof thaw.PagemapEntry
         * @instance
         */
        PagemapEntry.prototype.region_pages = 0;

        /**
         * Encodes the specified PagemapEntry message. Does not implicitly {@link thaw.PagemapEntry.verify|verify} messages.
         * @function encode
         * @memberof thaw.PagemapEntry
         * @static
         * @param {thaw.PagemapEntry.$Properties} message PagemapEntry message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        PagemapEntry.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint64(message.vaddr);
            writer.uint32(/* id 2, wireType 0 =*/16).uint32(message.compat_nr_pages);
            if (message.in_parent != null && $Object.hasOwnProperty.call(message, "in_parent"))
                writer.uint32(/* id 3, wireType 0 =*/24).bool(message.in_parent);
            if (message.flags != null && $Object.hasOwnProperty.call(message, "flags"))
                writer.uint32(/* id 4, wireType 0 =*/32).uint32(message.flags);
            if (message.nr_pages != null && $Object.hasOwnProperty.call(message, "nr_pages"))
                writer.uint32(/* id 5, wireType 0 =*/40).uint64(message.nr_pages);
            if (message.compressed_size != null && message.compressed_size.length)
                for (let i = 0; i < message.compressed_size.length; ++i)
                    writer.uint32(/* id 6, wireType 0 =*/48).uint32(message.compressed_size[i]);
            if (message.total_compressed_size != null && $Object.hasOwnProperty.call(message, "total_compressed_size"))
                writer.uint32(/* id 7, wireType 0 =*/56).uint64(message.total_compressed_size);
            if (message.region_pages != null && $Object.hasOwnProperty.call(message, "region_pages"))
                writer.uint32(/* id 8, wireType 0 =*/64).uint32(message.region_pages);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a PagemapEntry message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.PagemapEntry
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.PagemapEntry & thaw.PagemapEntry.$Shape} PagemapEntry
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        PagemapEntry.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.PagemapEntry();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.vaddr = reader.uint64();
                        continue;
                    }
                case 2: {
                        if (wireType !== 0)
                            break;
                        message.compat_nr_pages = reader.uint32();
                        continue;
                    }
                case 3: {
                        if (wireType !== 0)
                            break;
                        message.in_parent = reader.bool();
                        continue;
                    }
                case 4: {
                        if (wireType !== 0)
                            break;
                        message.flags = reader.uint32();
                        continue;
                    }
                case 5: {
                        if (wireType !== 0)
                            break;
                        message.nr_pages = reader.uint64();
                        continue;
                    }
                case 6: {
                        if (wireType === 2) {
                            if (!(message.compressed_size && message.compressed_size.length))
                                message.compressed_size = [];
                            reader.uint32s(message.compressed_size);
                            continue;
                        }
                        if (wireType !== 0)
                            break;
                        if (!(message.compressed_size && message.compressed_size.length))
                            message.compressed_size = [];
                        message.compressed_size.push(reader.uint32());
                        continue;
                    }
                case 7: {
                        if (wireType !== 0)
                            break;
                        message.total_compressed_size = reader.uint64();
                        continue;
                    }
                case 8: {
                        if (wireType !== 0)
                            break;
                        message.region_pages = reader.uint32();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "vaddr"))
                throw $util.ProtocolError("missing required 'vaddr'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "compat_nr_pages"))
                throw $util.ProtocolError("missing required 'compat_nr_pages'", { instance: message });
            return message;
        };

        return PagemapEntry;
    })();

    thaw.File = (function() {

        /**
         * Properties of a File.
         * @typedef {Object} thaw.File.$Properties
         * @property {number} type File type
         * @property {number} id File id
         * @property {thaw.RegularFile.$Properties|null} [reg] File reg
         * @property {thaw.MemfdFile.$Properties|null} [memfd] File memfd
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a File.
         * @memberof thaw
         * @interface IFile
         * @augments thaw.File.$Properties
         * @deprecated Use thaw.File.$Properties instead.
         */

        /**
         * Shape of a File.
         * @typedef {thaw.File.$Properties} thaw.File.$Shape
         */

        /**
         * Constructs a new File.
         * @memberof thaw
         * @classdesc Represents a File.
         * @constructor
         * @param {thaw.File.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const File = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * File type.
         * @member {number} type
         * @memberof thaw.File
         * @instance
         */
        File.prototype.type = 0;

        /**
         * File id.
         * @member {number} id
         * @memberof thaw.File
         * @instance
         */
        File.prototype.id = 0;

        /**
         * File reg.
         * @member {thaw.RegularFile.$Properties|null|undefined} reg
         * @memberof thaw.File
         * @instance
         */
        File.prototype.reg = null;

        /**
         * File memfd.
         * @member {thaw.MemfdFile.$Properties|null|undefined} memfd
         * @memberof thaw.File
         * @instance
         */
        File.prototype.memfd = null;

        /**
         * Encodes the specified File message. Does not implicitly {@link thaw.File.verify|verify} messages.
         * @function encode
         * @memberof thaw.File
         * @static
         * @param {thaw.File.$Properties} message File message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        File.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.type);
            writer.uint32(/* id 2, wireType 0 =*/16).uint32(message.id);
            if (message.reg != null && $Object.hasOwnProperty.call(message, "reg"))
                $root.thaw.RegularFile.encode(message.reg, writer.uint32(/* id 3, wireType 2 =*/26).fork(), _depth + 1).ldelim();
            if (message.memfd != null && $Object.hasOwnProperty.call(message, "memfd"))
                $root.thaw.MemfdFile.encode(message.memfd, writer.uint32(/* id 20, wireType 2 =*/162).fork(), _depth + 1).ldelim();
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a File message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.File
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.File & thaw.File.$Shape} File
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        File.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.File();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.type = reader.uint32();
                        continue;
                    }
                case 2: {
                        if (wireType !== 0)
                            break;
                        message.id = reader.uint32();
                        continue;
                    }
                case 3: {
                        if (wireType !== 2)
                            break;
                        message.reg = $root.thaw.RegularFile.decode(reader, reader.size(), $undefined, _depth + 1, message.reg);
                        continue;
                    }
                case 20: {
                        if (wireType !== 2)
                            break;
                        message.memfd = $root.thaw.MemfdFile.decode(reader, reader.size(), $undefined, _depth + 1, message.memfd);
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "type"))
                throw $util.ProtocolError("missing required 'type'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "id"))
                throw $util.ProtocolError("missing required 'id'", { instance: message });
            return message;
        };

        return File;
    })();

    thaw.RegularFile = (function() {

        /**
         * Properties of a RegularFile.
         * @typedef {Object} thaw.RegularFile.$Properties
         * @property {number} id RegularFile id
         * @property {string} name RegularFile name
         * @property {Long|null} [size] RegularFile size
         * @property {number|null} [mode] RegularFile mode
         * @property {Array.<number>|null} [build_id] RegularFile build_id
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a RegularFile.
         * @memberof thaw
         * @interface IRegularFile
         * @augments thaw.RegularFile.$Properties
         * @deprecated Use thaw.RegularFile.$Properties instead.
         */

        /**
         * Shape of a RegularFile.
         * @typedef {thaw.RegularFile.$Properties} thaw.RegularFile.$Shape
         */

        /**
         * Constructs a new RegularFile.
         * @memberof thaw
         * @classdesc Represents a RegularFile.
         * @constructor
         * @param {thaw.RegularFile.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const RegularFile = function (properties) {
            this.build_id = [];
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * RegularFile id.
         * @member {number} id
         * @memberof thaw.RegularFile
         * @instance
         */
        RegularFile.prototype.id = 0;

        /**
         * RegularFile name.
         * @member {string} name
         * @memberof thaw.RegularFile
         * @instance
         */
        RegularFile.prototype.name = "";

        /**
         * RegularFile size.
         * @member {Long} size
         * @memberof thaw.RegularFile
         * @instance
         */
        RegularFile.prototype.size = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

        /**
         * RegularFile mode.
         * @member {number} mode
         * @memberof thaw.RegularFile
         * @instance
         */
        RegularFile.prototype.mode = 0;

        /**
         * RegularFile build_id.
         * @member {Array.<number>} build_id
         * @memberof thaw.RegularFile
         * @instance
         */
        RegularFile.prototype.build_id = $util.emptyArray;

        /**
         * Encodes the specified RegularFile message. Does not implicitly {@link thaw.RegularFile.verify|verify} messages.
         * @function encode
         * @memberof thaw.RegularFile
         * @static
         * @param {thaw.RegularFile.$Properties} message RegularFile message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        RegularFile.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.id);
            writer.uint32(/* id 6, wireType 2 =*/50).string(message.name);
            if (message.size != null && $Object.hasOwnProperty.call(message, "size"))
                writer.uint32(/* id 8, wireType 0 =*/64).uint64(message.size);
            if (message.mode != null && $Object.hasOwnProperty.call(message, "mode"))
                writer.uint32(/* id 10, wireType 0 =*/80).uint32(message.mode);
            if (message.build_id != null && message.build_id.length)
                for (let i = 0; i < message.build_id.length; ++i)
                    writer.uint32(/* id 11, wireType 0 =*/88).uint32(message.build_id[i]);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a RegularFile message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.RegularFile
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.RegularFile & thaw.RegularFile.$Shape} RegularFile
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        RegularFile.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.RegularFile();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.id = reader.uint32();
                        continue;
                    }
                case 6: {
                        if (wireType !== 2)
                            break;
                        message.name = reader.string();
                        continue;
                    }
                case 8: {
                        if (wireType !== 0)
                            break;
                        message.size = reader.uint64();
                        continue;
                    }
                case 10: {
                        if (wireType !== 0)
                            break;
                        message.mode = reader.uint32();
                        continue;
                    }
                case 11: {
                        if (wireType === 2) {
                            if (!(message.build_id && message.build_id.length))
                                message.build_id = [];
                            reader.uint32s(message.build_id);
                            continue;
                        }
                        if (wireType !== 0)
                            break;
                        if (!(message.build_id && message.build_id.length))
                            message.build_id = [];
                        message.build_id.push(reader.uint32());
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "id"))
                throw $util.ProtocolError("missing required 'id'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "name"))
                throw $util.ProtocolError("missing required 'name'", { instance: message });
            return message;
        };

        return RegularFile;
    })();

    thaw.MemfdFile = (function() {

        /**
         * Properties of a MemfdFile.
         * @typedef {Object} thaw.MemfdFile.$Properties
         * @property {number} id MemfdFile id
         * @property {number} inode_id MemfdFile inode_id
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a MemfdFile.
         * @memberof thaw
         * @interface IMemfdFile
         * @augments thaw.MemfdFile.$Properties
         * @deprecated Use thaw.MemfdFile.$Properties instead.
         */

        /**
         * Shape of a MemfdFile.
         * @typedef {thaw.MemfdFile.$Properties} thaw.MemfdFile.$Shape
         */

        /**
         * Constructs a new MemfdFile.
         * @memberof thaw
         * @classdesc Represents a MemfdFile.
         * @constructor
         * @param {thaw.MemfdFile.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const MemfdFile = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * MemfdFile id.
         * @member {number} id
         * @memberof thaw.MemfdFile
         * @instance
         */
        MemfdFile.prototype.id = 0;

        /**
         * MemfdFile inode_id.
         * @member {number} inode_id
         * @memberof thaw.MemfdFile
         * @instance
         */
        MemfdFile.prototype.inode_id = 0;

        /**
         * Encodes the specified MemfdFile message. Does not implicitly {@link thaw.MemfdFile.verify|verify} messages.
         * @function encode
         * @memberof thaw.MemfdFile
         * @static
         * @param {thaw.MemfdFile.$Properties} message MemfdFile message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        MemfdFile.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.id);
            writer.uint32(/* id 5, wireType 0 =*/40).uint32(message.inode_id);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a MemfdFile message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.MemfdFile
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.MemfdFile & thaw.MemfdFile.$Shape} MemfdFile
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        MemfdFile.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.MemfdFile();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.id = reader.uint32();
                        continue;
                    }
                case 5: {
                        if (wireType !== 0)
                            break;
                        message.inode_id = reader.uint32();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "id"))
                throw $util.ProtocolError("missing required 'id'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "inode_id"))
                throw $util.ProtocolError("missing required 'inode_id'", { instance: message });
            return message;
        };

        return MemfdFile;
    })();

    thaw.MemfdInode = (function() {

        /**
         * Properties of a MemfdInode.
         * @typedef {Object} thaw.MemfdInode.$Properties
         * @property {string} name MemfdInode name
         * @property {Long} size MemfdInode size
         * @property {number} shmid MemfdInode shmid
         * @property {number} inode_id MemfdInode inode_id
         * @property {number|null} [hugetlb_flag] MemfdInode hugetlb_flag
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a MemfdInode.
         * @memberof thaw
         * @interface IMemfdInode
         * @augments thaw.MemfdInode.$Properties
         * @deprecated Use thaw.MemfdInode.$Properties instead.
         */

        /**
         * Shape of a MemfdInode.
         * @typedef {thaw.MemfdInode.$Properties} thaw.MemfdInode.$Shape
         */

        /**
         * Constructs a new MemfdInode.
         * @memberof thaw
         * @classdesc Represents a MemfdInode.
         * @constructor
         * @param {thaw.MemfdInode.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const MemfdInode = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * MemfdInode name.
         * @member {string} name
         * @memberof thaw.MemfdInode
         * @instance
         */
        MemfdInode.prototype.name = "";

        /**
         * MemfdInode size.
         * @member {Long} size
         * @memberof thaw.MemfdInode
         * @instance
         */
        MemfdInode.prototype.size = $util.Long ? $util.Long.fromBits(0,0,true) : 0;

        /**
         * MemfdInode shmid.
         * @member {number} shmid
         * @memberof thaw.MemfdInode
         * @instance
         */
        MemfdInode.prototype.shmid = 0;

        /**
         * MemfdInode inode_id.
         * @member {number} inode_id
         * @memberof thaw.MemfdInode
         * @instance
         */
        MemfdInode.prototype.inode_id = 0;

        /**
         * MemfdInode hugetlb_flag.
         * @member {number} hugetlb_flag
         * @memberof thaw.MemfdInode
         * @instance
         */
        MemfdInode.prototype.hugetlb_flag = 0;

        /**
         * Encodes the specified MemfdInode message. Does not implicitly {@link thaw.MemfdInode.verify|verify} messages.
         * @function encode
         * @memberof thaw.MemfdInode
         * @static
         * @param {thaw.MemfdInode.$Properties} message MemfdInode message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        MemfdInode.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 2 =*/10).string(message.name);
            writer.uint32(/* id 4, wireType 0 =*/32).uint64(message.size);
            writer.uint32(/* id 5, wireType 0 =*/40).uint32(message.shmid);
            writer.uint32(/* id 7, wireType 0 =*/56).uint32(message.inode_id);
            if (message.hugetlb_flag != null && $Object.hasOwnProperty.call(message, "hugetlb_flag"))
                writer.uint32(/* id 8, wireType 0 =*/64).uint32(message.hugetlb_flag);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a MemfdInode message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.MemfdInode
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.MemfdInode & thaw.MemfdInode.$Shape} MemfdInode
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        MemfdInode.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.MemfdInode();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 2)
                            break;
                        message.name = reader.string();
                        continue;
                    }
                case 4: {
                        if (wireType !== 0)
                            break;
                        message.size = reader.uint64();
                        continue;
                    }
                case 5: {
                        if (wireType !== 0)
                            break;
                        message.shmid = reader.uint32();
                        continue;
                    }
                case 7: {
                        if (wireType !== 0)
                            break;
                        message.inode_id = reader.uint32();
                        continue;
                    }
                case 8: {
                        if (wireType !== 0)
                            break;
                        message.hugetlb_flag = reader.uint32();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "name"))
                throw $util.ProtocolError("missing required 'name'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "size"))
                throw $util.ProtocolError("missing required 'size'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "shmid"))
                throw $util.ProtocolError("missing required 'shmid'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "inode_id"))
                throw $util.ProtocolError("missing required 'inode_id'", { instance: message });
            return message;
        };

        return MemfdInode;
    })();

    thaw.ChecksumHead = (function() {

        /**
         * Properties of a ChecksumHead.
         * @typedef {Object} thaw.ChecksumHead.$Properties
         * @property {number} version ChecksumHead version
         * @property {number} pagemap_crc32 ChecksumHead pagemap_crc32
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a ChecksumHead.
         * @memberof thaw
         * @interface IChecksumHead
         * @augments thaw.ChecksumHead.$Properties
         * @deprecated Use thaw.ChecksumHead.$Properties instead.
         */

        /**
         * Shape of a ChecksumHead.
         * @typedef {thaw.ChecksumHead.$Properties} thaw.ChecksumHead.$Shape
         */

        /**
         * Constructs a new ChecksumHead.
         * @memberof thaw
         * @classdesc Represents a ChecksumHead.
         * @constructor
         * @param {thaw.ChecksumHead.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const ChecksumHead = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * ChecksumHead version.
         * @member {number} version
         * @memberof thaw.ChecksumHead
         * @instance
         */
        ChecksumHead.prototype.version = 0;

        /**
         * ChecksumHead pagemap_crc32.
         * @member {number} pagemap_crc32
         * @memberof thaw.ChecksumHead
         * @instance
         */
        ChecksumHead.prototype.pagemap_crc32 = 0;

        /**
         * Encodes the specified ChecksumHead message. Does not implicitly {@link thaw.ChecksumHead.verify|verify} messages.
         * @function encode
         * @memberof thaw.ChecksumHead
         * @static
         * @param {thaw.ChecksumHead.$Properties} message ChecksumHead message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        ChecksumHead.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.version);
            writer.uint32(/* id 2, wireType 5 =*/21).fixed32(message.pagemap_crc32);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a ChecksumHead message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.ChecksumHead
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.ChecksumHead & thaw.ChecksumHead.$Shape} ChecksumHead
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        ChecksumHead.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.ChecksumHead();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.version = reader.uint32();
                        continue;
                    }
                case 2: {
                        if (wireType !== 5)
                            break;
                        message.pagemap_crc32 = reader.fixed32();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "version"))
                throw $util.ProtocolError("missing required 'version'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "pagemap_crc32"))
                throw $util.ProtocolError("missing required 'pagemap_crc32'", { instance: message });
            return message;
        };

        return ChecksumHead;
    })();

    thaw.ChecksumPart = (function() {

        /**
         * Properties of a ChecksumPart.
         * @typedef {Object} thaw.ChecksumPart.$Properties
         * @property {Uint8Array} crc32 ChecksumPart crc32
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a ChecksumPart.
         * @memberof thaw
         * @interface IChecksumPart
         * @augments thaw.ChecksumPart.$Properties
         * @deprecated Use thaw.ChecksumPart.$Properties instead.
         */

        /**
         * Shape of a ChecksumPart.
         * @typedef {thaw.ChecksumPart.$Properties} thaw.ChecksumPart.$Shape
         */

        /**
         * Constructs a new ChecksumPart.
         * @memberof thaw
         * @classdesc Represents a ChecksumPart.
         * @constructor
         * @param {thaw.ChecksumPart.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const ChecksumPart = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * ChecksumPart crc32.
         * @member {Uint8Array} crc32
         * @memberof thaw.ChecksumPart
         * @instance
         */
        ChecksumPart.prototype.crc32 = $util.newBuffer([]);

        /**
         * Encodes the specified ChecksumPart message. Does not implicitly {@link thaw.ChecksumPart.verify|verify} messages.
         * @function encode
         * @memberof thaw.ChecksumPart
         * @static
         * @param {thaw.ChecksumPart.$Properties} message ChecksumPart message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        ChecksumPart.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 2 =*/10).bytes(message.crc32);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a ChecksumPart message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.ChecksumPart
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.ChecksumPart & thaw.ChecksumPart.$Shape} ChecksumPart
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        ChecksumPart.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.ChecksumPart();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 2)
                            break;
                        message.crc32 = reader.bytes();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "crc32"))
                throw $util.ProtocolError("missing required 'crc32'", { instance: message });
            return message;
        };

        return ChecksumPart;
    })();

    thaw.PackHead = (function() {

        /**
         * Properties of a PackHead.
         * @typedef {Object} thaw.PackHead.$Properties
         * @property {number} version PackHead version
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a PackHead.
         * @memberof thaw
         * @interface IPackHead
         * @augments thaw.PackHead.$Properties
         * @deprecated Use thaw.PackHead.$Properties instead.
         */

        /**
         * Shape of a PackHead.
         * @typedef {thaw.PackHead.$Properties} thaw.PackHead.$Shape
         */

        /**
         * Constructs a new PackHead.
         * @memberof thaw
         * @classdesc Represents a PackHead.
         * @constructor
         * @param {thaw.PackHead.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const PackHead = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * PackHead version.
         * @member {number} version
         * @memberof thaw.PackHead
         * @instance
         */
        PackHead.prototype.version = 0;

        /**
         * Encodes the specified PackHead message. Does not implicitly {@link thaw.PackHead.verify|verify} messages.
         * @function encode
         * @memberof thaw.PackHead
         * @static
         * @param {thaw.PackHead.$Properties} message PackHead message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        PackHead.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 0 =*/8).uint32(message.version);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a PackHead message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.PackHead
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.PackHead & thaw.PackHead.$Shape} PackHead
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        PackHead.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.PackHead();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 0)
                            break;
                        message.version = reader.uint32();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "version"))
                throw $util.ProtocolError("missing required 'version'", { instance: message });
            return message;
        };

        return PackHead;
    })();

    thaw.PackPart = (function() {

        /**
         * Properties of a PackPart.
         * @typedef {Object} thaw.PackPart.$Properties
         * @property {string} name PackPart name
         * @property {Uint8Array} content PackPart content
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */

        /**
         * Properties of a PackPart.
         * @memberof thaw
         * @interface IPackPart
         * @augments thaw.PackPart.$Properties
         * @deprecated Use thaw.PackPart.$Properties instead.
         */

        /**
         * Shape of a PackPart.
         * @typedef {thaw.PackPart.$Properties} thaw.PackPart.$Shape
         */

        /**
         * Constructs a new PackPart.
         * @memberof thaw
         * @classdesc Represents a PackPart.
         * @constructor
         * @param {thaw.PackPart.$Properties=} [properties] Properties to set
         * @property {Array.<Uint8Array>} [$unknowns] Unknown fields preserved while decoding when enabled
         */
        const PackPart = function (properties) {
            if (properties)
                for (let keys = $Object.keys(properties), i = 0; i < keys.length; ++i)
                    if (properties[keys[i]] != null && keys[i] !== "__proto__")
                        this[keys[i]] = properties[keys[i]];
        };

        /**
         * PackPart name.
         * @member {string} name
         * @memberof thaw.PackPart
         * @instance
         */
        PackPart.prototype.name = "";

        /**
         * PackPart content.
         * @member {Uint8Array} content
         * @memberof thaw.PackPart
         * @instance
         */
        PackPart.prototype.content = $util.newBuffer([]);

        /**
         * Encodes the specified PackPart message. Does not implicitly {@link thaw.PackPart.verify|verify} messages.
         * @function encode
         * @memberof thaw.PackPart
         * @static
         * @param {thaw.PackPart.$Properties} message PackPart message or plain object to encode
         * @param {$protobuf.Writer} [writer] Writer to encode to
         * @returns {$protobuf.Writer} Writer
         */
        PackPart.encode = function (message, writer, _depth) {
            if (!writer)
                writer = $Writer.create();
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $util.recursionLimit)
                throw $Error("max depth exceeded");
            writer.uint32(/* id 1, wireType 2 =*/10).string(message.name);
            writer.uint32(/* id 2, wireType 2 =*/18).bytes(message.content);
            if (message.$unknowns != null && $Object.hasOwnProperty.call(message, "$unknowns"))
                for (let i = 0; i < message.$unknowns.length; ++i)
                    writer.raw(message.$unknowns[i]);
            return writer;
        };

        /**
         * Decodes a PackPart message from the specified reader or buffer.
         * @function decode
         * @memberof thaw.PackPart
         * @static
         * @param {$protobuf.Reader|Uint8Array} reader Reader or buffer to decode from
         * @param {number} [length] Message length if known beforehand
         * @returns {thaw.PackPart & thaw.PackPart.$Shape} PackPart
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        PackPart.decode = function (reader, length, _end, _depth, _target) {
            if (!(reader instanceof $Reader))
                reader = $Reader.create(reader);
            if (_depth === $undefined)
                _depth = 0;
            if (_depth > $Reader.recursionLimit)
                throw $Error("max depth exceeded");
            let end, message;
            if (length === $undefined)
                end = reader.len;
            else {
                end = reader.pos + length;
                if (end > reader.len)
                    throw $RangeError("index out of range");
                length = reader.len;
                reader.len = end;
            }
            message = _target || new $root.thaw.PackPart();
            while (reader.pos < end) {
                let start = reader.pos;
                let tag = reader.tag();
                if (tag === _end) {
                    _end = $undefined;
                    break;
                }
                let wireType = tag & 7;
                switch (tag >>>= 3) {
                case 1: {
                        if (wireType !== 2)
                            break;
                        message.name = reader.string();
                        continue;
                    }
                case 2: {
                        if (wireType !== 2)
                            break;
                        message.content = reader.bytes();
                        continue;
                    }
                }
                reader.skipType(wireType, _depth, tag);
                if (!reader.discardUnknown) {
                    $util.makeProp(message, "$unknowns", false);
                    (message.$unknowns || (message.$unknowns = [])).push(reader.raw(start, reader.pos));
                }
            }
            if (length !== $undefined) {
                if (reader.pos !== end)
                    throw $RangeError("index out of range");
                reader.len = length;
            }
            if (_end !== $undefined)
                throw $Error("missing end group");
            if (!$Object.hasOwnProperty.call(message, "name"))
                throw $util.ProtocolError("missing required 'name'", { instance: message });
            if (!$Object.hasOwnProperty.call(message, "content"))
                throw $util.ProtocolError("missing required 'content'", { instance: message });
            return message;
        };

        return PackPart;
    })();

    return thaw;
})();

export {
  $root as default
};
