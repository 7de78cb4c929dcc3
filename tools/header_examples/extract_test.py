#!/usr/bin/env python3
"""What extract.py takes for an example, and what it makes of it."""

import os
import subprocess
import sys
import tempfile
import unittest

_EXTRACT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "extract.py")


def extracted(header):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "greeting.h"), "w", encoding="utf-8") as file:
            file.write(header)
        done = subprocess.run(
            [sys.executable, _EXTRACT, "--output", "examples.cc", "greeting.h"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            return done.stderr
        with open(os.path.join(folder, "examples.cc"), encoding="utf-8") as file:
            return file.read()


class ExtractTest(unittest.TestCase):
    def test_statements_become_a_function(self):
        out = extracted("// Greets.\n//\n//   Greeting greeting(1);\n//   greeting.Send(\n//       2);\n")
        self.assertIn('Anything Example() {\n#line 3 "greeting.h"\nGreeting greeting(1);\n', out)
        self.assertIn('#line 4 "greeting.h"\ngreeting.Send(\n    2);\nreturn Anything();\n', out)
        self.assertIn("namespace instar::header_examples::greeting_h {\nnamespace line_3 {\n", out)

    def test_definitions_stand_before_it(self):
        out = extracted(
            "//   int many = 1;\n"
            "//\n"
            "//   struct More : Less {\n"
            "//     int of;\n"
            "//\n"
            "//     int it;\n"
            "//   };\n"
            "//   absl::Status Greet(int many,\n"
            "//                      int more) {\n"
            "//     return many;\n"
            "//   }\n"
            '//   INSTAR_UPDATE_MODULE("greet", Greet);\n'
        )
        self.assertLess(out.index("int it;"), out.index("Anything Example()"))
        self.assertLess(out.index("return many;"), out.index("Anything Example()"))
        self.assertLess(out.index("INSTAR_UPDATE_MODULE"), out.index("Anything Example()"))
        self.assertGreater(out.index("int many = 1;"), out.index("Anything Example()"))

    def test_lambdas_and_loops_are_no_definitions(self):
        out = extracted(
            "//   Greeting greeting([](int many) {\n"
            "//     return many;\n"
            "//   });\n"
            "//   while (greeting.Goes(on)) {\n"
            "//     Wait();\n"
            "//   }\n"
        )
        self.assertLess(out.index("Anything Example()"), out.index("Greeting greeting"))
        self.assertLess(out.index("Anything Example()"), out.index("while"))

    def test_lists_tables_and_other_languages_are_no_code(self):
        out = extracted(
            "//   - a list;\n//     that goes on;\n"
            "//\n//   1. the first;\n"
            "//\n//   state   | what it is\n//   --------+-----\n"
            "//\n//   NotFound   there is none;\n"
            "//\n//   $ strip shop\n"
            "//\n//     shell(name = 1)\n"
        )
        self.assertNotIn("Example", out)

    def test_a_comment_in_columns_makes_no_table(self):
        self.assertIn("Greet();", extracted("//   Greet();      // everybody\n"))

    def test_a_table_below_code_is_left_out(self):
        out = extracted("//   Greet();\n//\n//   Greet   everybody\n//   Leave   nobody\n")
        self.assertIn("Greet();", out)
        self.assertNotIn("nobody", out)

    def test_what_is_left_out_compiles(self):
        out = extracted(
            "//   ...\n"
            "//   ... stop the threads ...\n"
            "//   while (...) {\n"
            "//     if (!Greet()) ...     // why\n"
            "//   }\n"
            "//   for (int i : all) { ... }\n"
            "//   Greet(...);\n"
            "//   try { Greet(); } catch (...) { Leave(\"...\"); }\n"
        )
        self.assertNotIn("stop", out)
        self.assertIn("while (Anything()) {", out)
        self.assertIn("if (!Greet()) {}     // why", out)
        self.assertIn("for (int i : all) { }", out)
        self.assertIn("Greet(Anything());", out)
        self.assertIn('catch (...) { Leave("..."); }', out)

    def test_text_that_looks_like_code_is_an_error(self):
        self.assertIn("greeting.h:2: this does not end", extracted("// As in:\n//   hello to everybody\n"))

    def test_later_examples_see_earlier_definitions(self):
        out = extracted("//   struct A {};\n// And\n//   struct B : A {};\n")
        self.assertIn('struct A {};\nnamespace line_3 {\n#line 3 "greeting.h"\nstruct B : A {};\n}\n}\n}\n', out)

    def test_specializations_are_outside_of_namespaces(self):
        out = extracted("//   Greet();\n//   template <>\n//   struct instar::A<int> {\n//   };\n")
        self.assertLess(out.index("template <>"), out.index("namespace"))

    def test_comments_within_classes(self):
        self.assertIn("Greet();", extracted("class Greeting {\n  // Once.\n  //\n  //   Greet();\n  void Greet();\n};\n"))


if __name__ == "__main__":
    unittest.main()
