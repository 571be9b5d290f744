// The floor under the product.
in vec2 place;
uniform mat4 matrix;
uniform float height;
out vec3 point;

void main() {
    point = vec3(place.x * 3.5, height, place.y * 3.5);
    gl_Position = matrix * vec4(point, 1.0);
}
