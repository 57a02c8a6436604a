# cmake -DHTML=… -DSTYLE=… -DSCRIPTS=… -DLIBRARIES=… -DLICENCES=… -DOUTPUT=page.cpp -P embed.cmake
# Puts styles, libraries, licences and scripts into the template, and its two halves into a source file.
cmake_policy(VERSION 3.25)

function(join_files result)
  set(text "")
  foreach(path ${ARGN})
    file(READ "${path}" content)
    # Each of these would end the element that it stands in, or open a comment in a script.
    foreach(end "</script" "<!--")
      string(FIND "${content}" "${end}" at)
      if(NOT at EQUAL -1)
        message(FATAL_ERROR "${path} has '${end}', which a script in a page cannot have")
      endif()
    endforeach()
    string(APPEND text "${content}\n")
  endforeach()
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

file(READ "${HTML}" page)
join_files(style "${STYLE}")
join_files(libraries ${LIBRARIES})
join_files(scripts ${SCRIPTS})
set(licences "")
foreach(path ${LICENCES})
  get_filename_component(folder "${path}" DIRECTORY)
  get_filename_component(name "${folder}" NAME)
  file(READ "${path}" text)
  string(REPLACE "&" "&amp;" text "${text}")
  string(REPLACE "<" "&lt;" text "${text}")
  string(APPEND licences "<h3>${name}</h3><pre>${text}</pre>\n")
endforeach()
string(REPLACE "@STYLE@" "${style}" page "${page}")
string(REPLACE "@LICENCES@" "${licences}" page "${page}")
string(REPLACE "@LIBRARIES@" "${libraries}" page "${page}")
string(REPLACE "@SCRIPTS@" "${scripts}" page "${page}")
string(FIND "${page}" "@DATA@" at)
string(SUBSTRING "${page}" 0 ${at} head)
math(EXPR after "${at} + 6")
string(SUBSTRING "${page}" ${after} -1 tail)
file(WRITE "${OUTPUT}" "#include \"report/page.h\"

namespace onnxport::report {

std::string_view page_head() { return R\"onnxport_page(${head})onnxport_page\"; }
std::string_view page_tail() { return R\"onnxport_page(${tail})onnxport_page\"; }

}  // namespace onnxport::report
")
