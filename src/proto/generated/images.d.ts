import * as $protobuf from "protobufjs/minimal.js";
import Long = require("long");

/** Namespace thaw. */
export namespace thaw {

    /**
     * Properties of an Inventory.
     * @deprecated Use thaw.Inventory.$Properties instead.
     */
    interface IInventory extends thaw.Inventory.$Properties {
    }

    /** Represents an Inventory. */
    class Inventory {

        /**
         * Constructs a new Inventory.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.Inventory.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** Inventory img_version. */
        img_version: number;

        /** Inventory compress. */
        compress: number;

        /** Inventory compress_region_size. */
        compress_region_size: number;

        /**
         * Encodes the specified Inventory message. Does not implicitly {@link thaw.Inventory.verify|verify} messages.
         * @param message Inventory message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.Inventory.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes an Inventory message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.Inventory & thaw.Inventory.$Shape} Inventory
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.Inventory & thaw.Inventory.$Shape;
    }

    namespace Inventory {

        /** Properties of an Inventory. */
        interface $Properties {

            /** Inventory img_version */
            img_version: number;

            /** Inventory compress */
            compress?: (number|null);

            /** Inventory compress_region_size */
            compress_region_size?: (number|null);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of an Inventory. */
        type $Shape = thaw.Inventory.$Properties;
    }

    /**
     * Properties of a PstreeEntry.
     * @deprecated Use thaw.PstreeEntry.$Properties instead.
     */
    interface IPstreeEntry extends thaw.PstreeEntry.$Properties {
    }

    /** Represents a PstreeEntry. */
    class PstreeEntry {

        /**
         * Constructs a new PstreeEntry.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.PstreeEntry.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** PstreeEntry pid. */
        pid: number;

        /** PstreeEntry ppid. */
        ppid: number;

        /** PstreeEntry pgid. */
        pgid: number;

        /** PstreeEntry sid. */
        sid: number;

        /** PstreeEntry threads. */
        threads: number[];

        /**
         * Encodes the specified PstreeEntry message. Does not implicitly {@link thaw.PstreeEntry.verify|verify} messages.
         * @param message PstreeEntry message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.PstreeEntry.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a PstreeEntry message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.PstreeEntry & thaw.PstreeEntry.$Shape} PstreeEntry
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.PstreeEntry & thaw.PstreeEntry.$Shape;
    }

    namespace PstreeEntry {

        /** Properties of a PstreeEntry. */
        interface $Properties {

            /** PstreeEntry pid */
            pid: number;

            /** PstreeEntry ppid */
            ppid: number;

            /** PstreeEntry pgid */
            pgid: number;

            /** PstreeEntry sid */
            sid: number;

            /** PstreeEntry threads */
            threads?: (number[]|null);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a PstreeEntry. */
        type $Shape = thaw.PstreeEntry.$Properties;
    }

    /**
     * Properties of a Core.
     * @deprecated Use thaw.Core.$Properties instead.
     */
    interface ICore extends thaw.Core.$Properties {
    }

    /** Represents a Core. */
    class Core {

        /**
         * Constructs a new Core.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.Core.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** Core mtype. */
        mtype: number;

        /** Core tc. */
        tc?: (thaw.TaskCore.$Properties|null);

        /**
         * Encodes the specified Core message. Does not implicitly {@link thaw.Core.verify|verify} messages.
         * @param message Core message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.Core.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a Core message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.Core & thaw.Core.$Shape} Core
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.Core & thaw.Core.$Shape;
    }

    namespace Core {

        /** Properties of a Core. */
        interface $Properties {

            /** Core mtype */
            mtype: number;

            /** Core tc */
            tc?: (thaw.TaskCore.$Properties|null);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a Core. */
        type $Shape = thaw.Core.$Properties;
    }

    /**
     * Properties of a TaskCore.
     * @deprecated Use thaw.TaskCore.$Properties instead.
     */
    interface ITaskCore extends thaw.TaskCore.$Properties {
    }

    /** Represents a TaskCore. */
    class TaskCore {

        /**
         * Constructs a new TaskCore.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.TaskCore.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** TaskCore task_state. */
        task_state: number;

        /** TaskCore comm. */
        comm: string;

        /**
         * Encodes the specified TaskCore message. Does not implicitly {@link thaw.TaskCore.verify|verify} messages.
         * @param message TaskCore message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.TaskCore.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a TaskCore message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.TaskCore & thaw.TaskCore.$Shape} TaskCore
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.TaskCore & thaw.TaskCore.$Shape;
    }

    namespace TaskCore {

        /** Properties of a TaskCore. */
        interface $Properties {

            /** TaskCore task_state */
            task_state: number;

            /** TaskCore comm */
            comm: string;

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a TaskCore. */
        type $Shape = thaw.TaskCore.$Properties;
    }

    /**
     * Properties of a Mm.
     * @deprecated Use thaw.Mm.$Properties instead.
     */
    interface IMm extends thaw.Mm.$Properties {
    }

    /** Represents a Mm. */
    class Mm {

        /**
         * Constructs a new Mm.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.Mm.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** Mm mm_saved_auxv. */
        mm_saved_auxv: Long[];

        /** Mm vmas. */
        vmas: thaw.Vma.$Properties[];

        /**
         * Encodes the specified Mm message. Does not implicitly {@link thaw.Mm.verify|verify} messages.
         * @param message Mm message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.Mm.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a Mm message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.Mm & thaw.Mm.$Shape} Mm
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.Mm & thaw.Mm.$Shape;
    }

    namespace Mm {

        /** Properties of a Mm. */
        interface $Properties {

            /** Mm mm_saved_auxv */
            mm_saved_auxv?: (Long[]|null);

            /** Mm vmas */
            vmas?: (thaw.Vma.$Properties[]|null);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a Mm. */
        type $Shape = thaw.Mm.$Properties;
    }

    /**
     * Properties of a Vma.
     * @deprecated Use thaw.Vma.$Properties instead.
     */
    interface IVma extends thaw.Vma.$Properties {
    }

    /** Represents a Vma. */
    class Vma {

        /**
         * Constructs a new Vma.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.Vma.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** Vma start. */
        start: Long;

        /** Vma end. */
        end: Long;

        /** Vma pgoff. */
        pgoff: Long;

        /** Vma shmid. */
        shmid: Long;

        /** Vma prot. */
        prot: number;

        /** Vma flags. */
        flags: number;

        /** Vma status. */
        status: number;

        /** Vma madv. */
        madv: Long;

        /**
         * Encodes the specified Vma message. Does not implicitly {@link thaw.Vma.verify|verify} messages.
         * @param message Vma message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.Vma.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a Vma message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.Vma & thaw.Vma.$Shape} Vma
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.Vma & thaw.Vma.$Shape;
    }

    namespace Vma {

        /** Properties of a Vma. */
        interface $Properties {

            /** Vma start */
            start: Long;

            /** Vma end */
            end: Long;

            /** Vma pgoff */
            pgoff: Long;

            /** Vma shmid */
            shmid: Long;

            /** Vma prot */
            prot: number;

            /** Vma flags */
            flags: number;

            /** Vma status */
            status: number;

            /** Vma madv */
            madv?: (Long|null);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a Vma. */
        type $Shape = thaw.Vma.$Properties;
    }

    /**
     * Properties of a PagemapHead.
     * @deprecated Use thaw.PagemapHead.$Properties instead.
     */
    interface IPagemapHead extends thaw.PagemapHead.$Properties {
    }

    /** Represents a PagemapHead. */
    class PagemapHead {

        /**
         * Constructs a new PagemapHead.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.PagemapHead.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** PagemapHead pages_id. */
        pages_id: number;

        /**
         * Encodes the specified PagemapHead message. Does not implicitly {@link thaw.PagemapHead.verify|verify} messages.
         * @param message PagemapHead message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.PagemapHead.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a PagemapHead message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.PagemapHead & thaw.PagemapHead.$Shape} PagemapHead
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.PagemapHead & thaw.PagemapHead.$Shape;
    }

    namespace PagemapHead {

        /** Properties of a PagemapHead. */
        interface $Properties {

            /** PagemapHead pages_id */
            pages_id: number;

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a PagemapHead. */
        type $Shape = thaw.PagemapHead.$Properties;
    }

    /**
     * Properties of a PagemapEntry.
     * @deprecated Use thaw.PagemapEntry.$Properties instead.
     */
    interface IPagemapEntry extends thaw.PagemapEntry.$Properties {
    }

    /** Represents a PagemapEntry. */
    class PagemapEntry {

        /**
         * Constructs a new PagemapEntry.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.PagemapEntry.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** PagemapEntry vaddr. */
        vaddr: Long;

        /** PagemapEntry compat_nr_pages. */
        compat_nr_pages: number;

        /** PagemapEntry in_parent. */
        in_parent: boolean;

        /** PagemapEntry flags. */
        flags: number;

        /** PagemapEntry nr_pages. */
        nr_pages: Long;

        /** PagemapEntry compressed_size. */
        compressed_size: number[];

        /** PagemapEntry total_compressed_size. */
        total_compressed_size: Long;

        /** PagemapEntry region_pages. */
        region_pages: number;

        /**
         * Encodes the specified PagemapEntry message. Does not implicitly {@link thaw.PagemapEntry.verify|verify} messages.
         * @param message PagemapEntry message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.PagemapEntry.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a PagemapEntry message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.PagemapEntry & thaw.PagemapEntry.$Shape} PagemapEntry
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.PagemapEntry & thaw.PagemapEntry.$Shape;
    }

    namespace PagemapEntry {

        /** Properties of a PagemapEntry. */
        interface $Properties {

            /** PagemapEntry vaddr */
            vaddr: Long;

            /** PagemapEntry compat_nr_pages */
            compat_nr_pages: number;

            /** PagemapEntry in_parent */
            in_parent?: (boolean|null);

            /** PagemapEntry flags */
            flags?: (number|null);

            /** PagemapEntry nr_pages */
            nr_pages?: (Long|null);

            /** PagemapEntry compressed_size */
            compressed_size?: (number[]|null);

            /** PagemapEntry total_compressed_size */
            total_compressed_size?: (Long|null);

            /** PagemapEntry region_pages */
            region_pages?: (number|null);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a PagemapEntry. */
        type $Shape = thaw.PagemapEntry.$Properties;
    }

    /**
     * Properties of a File.
     * @deprecated Use thaw.File.$Properties instead.
     */
    interface IFile extends thaw.File.$Properties {
    }

    /** Represents a File. */
    class File {

        /**
         * Constructs a new File.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.File.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** File type. */
        type: number;

        /** File id. */
        id: number;

        /** File reg. */
        reg?: (thaw.RegularFile.$Properties|null);

        /** File memfd. */
        memfd?: (thaw.MemfdFile.$Properties|null);

        /**
         * Encodes the specified File message. Does not implicitly {@link thaw.File.verify|verify} messages.
         * @param message File message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.File.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a File message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.File & thaw.File.$Shape} File
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.File & thaw.File.$Shape;
    }

    namespace File {

        /** Properties of a File. */
        interface $Properties {

            /** File type */
            type: number;

            /** File id */
            id: number;

            /** File reg */
            reg?: (thaw.RegularFile.$Properties|null);

            /** File memfd */
            memfd?: (thaw.MemfdFile.$Properties|null);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a File. */
        type $Shape = thaw.File.$Properties;
    }

    /**
     * Properties of a RegularFile.
     * @deprecated Use thaw.RegularFile.$Properties instead.
     */
    interface IRegularFile extends thaw.RegularFile.$Properties {
    }

    /** Represents a RegularFile. */
    class RegularFile {

        /**
         * Constructs a new RegularFile.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.RegularFile.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** RegularFile id. */
        id: number;

        /** RegularFile name. */
        name: string;

        /** RegularFile size. */
        size: Long;

        /** RegularFile mode. */
        mode: number;

        /** RegularFile build_id. */
        build_id: number[];

        /**
         * Encodes the specified RegularFile message. Does not implicitly {@link thaw.RegularFile.verify|verify} messages.
         * @param message RegularFile message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.RegularFile.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a RegularFile message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.RegularFile & thaw.RegularFile.$Shape} RegularFile
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.RegularFile & thaw.RegularFile.$Shape;
    }

    namespace RegularFile {

        /** Properties of a RegularFile. */
        interface $Properties {

            /** RegularFile id */
            id: number;

            /** RegularFile name */
            name: string;

            /** RegularFile size */
            size?: (Long|null);

            /** RegularFile mode */
            mode?: (number|null);

            /** RegularFile build_id */
            build_id?: (number[]|null);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a RegularFile. */
        type $Shape = thaw.RegularFile.$Properties;
    }

    /**
     * Properties of a MemfdFile.
     * @deprecated Use thaw.MemfdFile.$Properties instead.
     */
    interface IMemfdFile extends thaw.MemfdFile.$Properties {
    }

    /** Represents a MemfdFile. */
    class MemfdFile {

        /**
         * Constructs a new MemfdFile.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.MemfdFile.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** MemfdFile id. */
        id: number;

        /** MemfdFile inode_id. */
        inode_id: number;

        /**
         * Encodes the specified MemfdFile message. Does not implicitly {@link thaw.MemfdFile.verify|verify} messages.
         * @param message MemfdFile message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.MemfdFile.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a MemfdFile message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.MemfdFile & thaw.MemfdFile.$Shape} MemfdFile
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.MemfdFile & thaw.MemfdFile.$Shape;
    }

    namespace MemfdFile {

        /** Properties of a MemfdFile. */
        interface $Properties {

            /** MemfdFile id */
            id: number;

            /** MemfdFile inode_id */
            inode_id: number;

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a MemfdFile. */
        type $Shape = thaw.MemfdFile.$Properties;
    }

    /**
     * Properties of a MemfdInode.
     * @deprecated Use thaw.MemfdInode.$Properties instead.
     */
    interface IMemfdInode extends thaw.MemfdInode.$Properties {
    }

    /** Represents a MemfdInode. */
    class MemfdInode {

        /**
         * Constructs a new MemfdInode.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.MemfdInode.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** MemfdInode name. */
        name: string;

        /** MemfdInode size. */
        size: Long;

        /** MemfdInode shmid. */
        shmid: number;

        /** MemfdInode inode_id. */
        inode_id: number;

        /** MemfdInode hugetlb_flag. */
        hugetlb_flag: number;

        /**
         * Encodes the specified MemfdInode message. Does not implicitly {@link thaw.MemfdInode.verify|verify} messages.
         * @param message MemfdInode message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.MemfdInode.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a MemfdInode message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.MemfdInode & thaw.MemfdInode.$Shape} MemfdInode
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.MemfdInode & thaw.MemfdInode.$Shape;
    }

    namespace MemfdInode {

        /** Properties of a MemfdInode. */
        interface $Properties {

            /** MemfdInode name */
            name: string;

            /** MemfdInode size */
            size: Long;

            /** MemfdInode shmid */
            shmid: number;

            /** MemfdInode inode_id */
            inode_id: number;

            /** MemfdInode hugetlb_flag */
            hugetlb_flag?: (number|null);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a MemfdInode. */
        type $Shape = thaw.MemfdInode.$Properties;
    }

    /**
     * Properties of a ChecksumHead.
     * @deprecated Use thaw.ChecksumHead.$Properties instead.
     */
    interface IChecksumHead extends thaw.ChecksumHead.$Properties {
    }

    /** Represents a ChecksumHead. */
    class ChecksumHead {

        /**
         * Constructs a new ChecksumHead.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.ChecksumHead.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** ChecksumHead version. */
        version: number;

        /** ChecksumHead pagemap_crc32. */
        pagemap_crc32: number;

        /**
         * Encodes the specified ChecksumHead message. Does not implicitly {@link thaw.ChecksumHead.verify|verify} messages.
         * @param message ChecksumHead message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.ChecksumHead.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a ChecksumHead message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.ChecksumHead & thaw.ChecksumHead.$Shape} ChecksumHead
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.ChecksumHead & thaw.ChecksumHead.$Shape;
    }

    namespace ChecksumHead {

        /** Properties of a ChecksumHead. */
        interface $Properties {

            /** ChecksumHead version */
            version: number;

            /** ChecksumHead pagemap_crc32 */
            pagemap_crc32: number;

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a ChecksumHead. */
        type $Shape = thaw.ChecksumHead.$Properties;
    }

    /**
     * Properties of a ChecksumPart.
     * @deprecated Use thaw.ChecksumPart.$Properties instead.
     */
    interface IChecksumPart extends thaw.ChecksumPart.$Properties {
    }

    /** Represents a ChecksumPart. */
    class ChecksumPart {

        /**
         * Constructs a new ChecksumPart.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.ChecksumPart.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** ChecksumPart crc32. */
        crc32: Uint8Array;

        /**
         * Encodes the specified ChecksumPart message. Does not implicitly {@link thaw.ChecksumPart.verify|verify} messages.
         * @param message ChecksumPart message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.ChecksumPart.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a ChecksumPart message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.ChecksumPart & thaw.ChecksumPart.$Shape} ChecksumPart
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.ChecksumPart & thaw.ChecksumPart.$Shape;
    }

    namespace ChecksumPart {

        /** Properties of a ChecksumPart. */
        interface $Properties {

            /** ChecksumPart crc32 */
            crc32: Uint8Array;

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a ChecksumPart. */
        type $Shape = thaw.ChecksumPart.$Properties;
    }

    /**
     * Properties of a PackHead.
     * @deprecated Use thaw.PackHead.$Properties instead.
     */
    interface IPackHead extends thaw.PackHead.$Properties {
    }

    /** Represents a PackHead. */
    class PackHead {

        /**
         * Constructs a new PackHead.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.PackHead.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** PackHead version. */
        version: number;

        /**
         * Encodes the specified PackHead message. Does not implicitly {@link thaw.PackHead.verify|verify} messages.
         * @param message PackHead message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.PackHead.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a PackHead message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.PackHead & thaw.PackHead.$Shape} PackHead
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.PackHead & thaw.PackHead.$Shape;
    }

    namespace PackHead {

        /** Properties of a PackHead. */
        interface $Properties {

            /** PackHead version */
            version: number;

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a PackHead. */
        type $Shape = thaw.PackHead.$Properties;
    }

    /**
     * Properties of a PackPart.
     * @deprecated Use thaw.PackPart.$Properties instead.
     */
    interface IPackPart extends thaw.PackPart.$Properties {
    }

    /** Represents a PackPart. */
    class PackPart {

        /**
         * Constructs a new PackPart.
         * @param [properties] Properties to set
         */
        constructor(properties?: thaw.PackPart.$Properties);

        /** Unknown fields preserved while decoding when enabled */
        $unknowns?: Uint8Array[];

        /** PackPart name. */
        name: string;

        /** PackPart content. */
        content: Uint8Array;

        /**
         * Encodes the specified PackPart message. Does not implicitly {@link thaw.PackPart.verify|verify} messages.
         * @param message PackPart message or plain object to encode
         * @param [writer] Writer to encode to
         * @returns Writer
         */
        static encode(message: thaw.PackPart.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

        /**
         * Decodes a PackPart message from the specified reader or buffer.
         * @param reader Reader or buffer to decode from
         * @param [length] Message length if known beforehand
         * @returns {thaw.PackPart & thaw.PackPart.$Shape} PackPart
         * @throws {Error} If the payload is not a reader or valid buffer
         * @throws {$protobuf.util.ProtocolError} If required fields are missing
         */
        static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): thaw.PackPart & thaw.PackPart.$Shape;
    }

    namespace PackPart {

        /** Properties of a PackPart. */
        interface $Properties {

            /** PackPart name */
            name: string;

            /** PackPart content */
            content: Uint8Array;

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];
        }

        /** Shape of a PackPart. */
        type $Shape = thaw.PackPart.$Properties;
    }
}
