// A depth map for each instance, side by side in a square of tiles; nearer to the light is less.
in vec3 position;
in vec2 uv;
uniform vec3 axes[3 * COUNT];
uniform int tiles;
out vec2 at;

void main() {
    int k = gl_InstanceID;
    vec3 q = vec3(dot(axes[3 * k], position), dot(axes[3 * k + 1], position),
                  dot(axes[3 * k + 2], position)) / RADIUS;
    vec2 tile = vec2(k % tiles, k / tiles);
    gl_Position = vec4((q.xy * 0.5 + 0.5 + tile) / float(tiles) * 2.0 - 1.0, -q.z, 1.0);
    at = uv;
}
