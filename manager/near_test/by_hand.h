/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * What instar-diff writes into a module (manager/module/generated_module.h), by
 * hand. Each is used at the top level of a source, but IMPORTED(). */

#ifndef INSTAR_MANAGER_NEAR_TEST_BY_HAND_H_
#define INSTAR_MANAGER_NEAR_TEST_BY_HAND_H_

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

/* First of all. */
__asm__(
    ".pushsection .instar.names, \"\", @progbits\n"
    "by_hand_names:\n"
    ".popsection\n");

/* The offset of a name is 9b - by_hand_names from then on. */
#define NAME_(text)                               \
  ".pushsection .instar.names, \"\", @progbits\n" \
  "9:  .asciz \"" text                            \
  "\"\n"                                          \
  ".popsection\n"

#define GENERATED_MODULE(update)                         \
  __asm__(                                               \
      ".pushsection .note.instar.module, \"a\", @note\n" \
      "    .balign 4\n"                                  \
      "    .long 2f - 1f, 4f - 3f, 1\n"                  \
      "1:  .asciz \"Instar\"\n"                          \
      "2:  .balign 4\n"                                  \
      "3:  .long 1, 4\n"                                 \
      "    .asciz \"" update                             \
      "\"\n"                                             \
      "4:  .balign 4\n"                                  \
      "    .popsection\n")

#define IMAGE(file, build_id) \
  __asm__(NAME_(file) ".pushsection .instar.images, \"\", @progbits\n" \
          "    .quad 9b - by_hand_names\n"                             \
          ".popsection\n" NAME_(build_id)                              \
          ".pushsection .instar.images, \"\", @progbits\n"             \
          "    .quad 9b - by_hand_names\n"                             \
          ".popsection\n")

/* kind: 1 is kAbsolute64, 2 kRelative32, 6 kMayBeOther. */
#define IMPORT_(place, target, addend, kind, image, name) \
  NAME_(name)                                             \
  ".pushsection .instar.imports, \"\", @progbits\n"                     \
  "    .quad " place ", " TEXT(target) ", " addend "\n"                 \
  "    .long " kind ", " TEXT(image) "\n"                               \
  "    .quad 9b - by_hand_names\n"                                      \
  ".popsection\n"

/* A variable of this module, by its symbol, that gets the address. */
#define IMPORT_INTO(symbol, target, image, name) \
  __asm__(IMPORT_(#symbol, target, "0", "1", image, name))

/* The address, in code. */
#define IMPORTED(target, image, name)                            \
  ({                                                             \
    void* address_;                                              \
    __asm__(                                                     \
        "    leaq 0(%%rip), %0\n"                                \
        "1:\n" IMPORT_("1b - 4", target, "-4", "2", image, name) \
        : "=r"(address_));                                       \
    address_;                                                    \
  })

/* Debug information in which `name` is an int of another image: one entry of
 * DWARF 4 for it, with what it needs. */
#define DEBUG_VARIABLE(name, target, image)                               \
  __asm__(                                                                \
      ".pushsection .debug_abbrev, \"\", @progbits\n"                     \
      "by_hand_abbrev:\n"                                                 \
      "    .byte 1, 0x11, 1, 0x03, 0x08, 0x13, 0x0b, 0, 0\n" /* a unit */ \
      "    .byte 2, 0x24, 0, 0x03, 0x08, 0x0b, 0x0b, 0x3e, 0x0b, 0, 0\n"  \
      "    .byte 3, 0x34, 0, 0x03, 0x08, 0x49, 0x13, 0x02, 0x18\n"        \
      "    .byte 0x3f, 0x19, 0, 0, 0\n"                                   \
      ".popsection\n"                                                     \
      ".pushsection .debug_info, \"\", @progbits\n"                       \
      "by_hand_unit:\n"                                                   \
      "    .long by_hand_unit_end - 1f\n"                                 \
      "1:  .short 4\n"                                                    \
      "    .long by_hand_abbrev\n"                                        \
      "    .byte 8, 1\n"                                                  \
      "    .asciz \"by hand\"\n"                                          \
      "    .byte 2\n" /* a language: C */                                 \
      "2:  .byte 2\n"                                                     \
      "    .asciz \"int\"\n"                                              \
      "    .byte 4, 5\n" /* its size, and how it is read */               \
      "    .byte 3\n"                                                     \
      "    .asciz \"" name                                                \
      "\"\n"                                                              \
      "    .long 2b - by_hand_unit\n"                                     \
      "    .byte 9, 3\n" /* DW_OP_addr */                                 \
      "by_hand_field:\n"                                                  \
      "    .quad 0\n"                                                     \
      "    .byte 0\n"                                                     \
      "by_hand_unit_end:\n"                                               \
      ".popsection\n" IMPORT_("by_hand_field", target, "0", "3", image, name))

/* flags: 1 is kMustBeQuiescent, 2 kOnlyWatched. */
#define REDEFINE(old_entry, new_symbol, image, flags, name) \
  __asm__(NAME_(name)                                              \
          ".pushsection .instar.redefine, \"\", @progbits\n"       \
          "    .quad " TEXT(old_entry) ", " TEXT(new_symbol) "\n"  \
          "    .quad 9b - by_hand_names\n"                         \
          "    .long " TEXT(image) ", " TEXT(flags) "\n"           \
          ".popsection\n")

#endif /* INSTAR_MANAGER_NEAR_TEST_BY_HAND_H_ */
