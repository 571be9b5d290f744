// Where a corner stands in the picture, and what its surface is like there.
in vec3 position;
in vec3 normal;
in vec2 uv;
uniform mat4 matrix;
invariant gl_Position;
out vec3 place;
out vec3 upright;
out vec2 at;

void main() {
    gl_Position = matrix * vec4(position, 1.0);
    place = position;
    upright = normal;
    at = uv;
}
